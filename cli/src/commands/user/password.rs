//! Asks for a password without showing it.

use anyhow::{Context, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Stdin, Write};

/// The password: from the first line of the standard input, or asked for twice at a terminal.
pub(super) fn read(from_stdin: bool) -> anyhow::Result<String> {
    let stdin = io::stdin();
    if from_stdin {
        return read_line(&stdin);
    }
    if !stdin.is_terminal() {
        bail!("there is no terminal to ask for the password at: use --password-stdin");
    }
    let first = prompt(&stdin, "Password: ")?;
    if prompt(&stdin, "Once more: ")? != first {
        bail!("the two passwords differ");
    }
    Ok(first)
}

/// One line, without its end.
fn read_line(stdin: &Stdin) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = stdin.lock().read_line(&mut text).context("cannot read the password")?;
    if read == 0 {
        bail!("no password was given");
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct EchoOff<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> EchoOff<'a> {
    fn new(stdin: &'a Stdin) -> nix::Result<Self> {
        let before = tcgetattr(stdin)?;
        let mut echo_off = before.clone();
        echo_off.local_flags.remove(LocalFlags::ECHO);
        echo_off.local_flags.insert(LocalFlags::ECHONL);
        tcsetattr(stdin, SetArg::TCSAFLUSH, &echo_off)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for EchoOff<'_> {
    fn drop(&mut self) {
        // Nothing can be done where the terminal is gone.
        let _ = tcsetattr(self.stdin, SetArg::TCSAFLUSH, &self.before);
    }
}

fn prompt(stdin: &Stdin, text: &str) -> anyhow::Result<String> {
    let echo_off = EchoOff::new(stdin).context("cannot hide what is typed")?;
    eprint!("{text}");
    io::stderr().flush().context("cannot ask for the password")?;
    let text = read_line(stdin);
    drop(echo_off);
    text
}
