//! Reads a password without echoing it to the terminal.

use anyhow::{Context, bail};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use std::io::{self, BufRead, IsTerminal, Stdin, Write};

/// Reads the password from the first line of standard input, or prompts for it twice on the terminal.
pub(super) fn read(from_stdin: bool) -> anyhow::Result<String> {
    let stdin = io::stdin();
    if from_stdin {
        return read_line(&stdin);
    }
    if !stdin.is_terminal() {
        bail!("cannot prompt for the password without a terminal; use --password-stdin");
    }
    let first = prompt(&stdin, "Password: ")?;
    if prompt(&stdin, "Repeat password: ")? != first {
        bail!("the passwords do not match");
    }
    Ok(first)
}

fn read_line(stdin: &Stdin) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = stdin.lock().read_line(&mut text).context("cannot read the password")?;
    if read == 0 {
        bail!("standard input contains no password");
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Disables terminal echo until dropped.
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
        // The call fails only if the terminal has been closed.
        let _ = tcsetattr(self.stdin, SetArg::TCSAFLUSH, &self.before);
    }
}

fn prompt(stdin: &Stdin, text: &str) -> anyhow::Result<String> {
    let echo_off = EchoOff::new(stdin).context("cannot disable terminal echo")?;
    eprint!("{text}");
    io::stderr().flush().context("cannot write the prompt")?;
    let text = read_line(stdin);
    drop(echo_off);
    text
}
