//! Asks for a password without showing it.

use anyhow::{Context, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Stdin, Write};

/// The password: from the first line of the standard input, or asked for twice at a terminal.
pub(super) fn ask(from_stdin: bool) -> anyhow::Result<String> {
    let stdin = io::stdin();
    if from_stdin {
        return line(&stdin);
    }
    if !stdin.is_terminal() {
        bail!("there is no terminal to ask for the password at: use --password-stdin");
    }
    let first = hidden(&stdin, "Password: ")?;
    if hidden(&stdin, "Once more: ")? != first {
        bail!("the two passwords differ");
    }
    Ok(first)
}

/// One line, without its end.
fn line(stdin: &Stdin) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = stdin.lock().read_line(&mut text).context("cannot read the password")?;
    if read == 0 {
        bail!("no password was given");
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Silent<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn new(stdin: &'a Stdin) -> nix::Result<Self> {
        let before = tcgetattr(stdin)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        silent.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(stdin, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // Nothing can be done where the terminal is gone.
        let _ = tcsetattr(self.stdin, SetArg::TCSAFLUSH, &self.before);
    }
}

fn hidden(stdin: &Stdin, prompt: &str) -> anyhow::Result<String> {
    let silent = Silent::new(stdin).context("cannot hide what is typed")?;
    eprint!("{prompt}");
    io::stderr().flush().context("cannot ask for the password")?;
    let text = line(stdin);
    drop(silent);
    text
}
