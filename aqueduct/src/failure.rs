//! Why a command ended without success, and how the user hears of it: one line, never a debug dump.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anstyle::AnsiColor;

use crate::config::Rejected;

/// Why a command ended without success.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(anyhow::Error),
    /// A configuration is wrong.
    Config(Rejected),
    /// A checked file is wrong: the answer of `check`, rather than a mistake in how it was called.
    Checked(Rejected),
    /// Everything else.
    Runtime(anyhow::Error),
}

impl Failure {
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// Tells the user, and answers with the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(error) => {
                say_error(&format!("{error:#}"));
                ExitCode::from(2)
            }
            Self::Config(rejected) => {
                show(rejected);
                ExitCode::from(2)
            }
            Self::Checked(rejected) => {
                show(rejected);
                ExitCode::FAILURE
            }
            Self::Runtime(error) => {
                say_error(&format!("{error:#}"));
                ExitCode::FAILURE
            }
        }
    }
}

impl From<Rejected> for Failure {
    fn from(rejected: Rejected) -> Self {
        Self::Config(rejected)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Runtime(error)
    }
}

fn show(rejected: &Rejected) {
    match rejected {
        Rejected::Unreadable(why) => say_error(why),
        Rejected::Wrong(wrong) => {
            write_error(wrong.render(std::io::stderr().is_terminal()));
            // One error speaks for itself.
            if wrong.problems.len() > 1 {
                say_error(&format!("{}: {} errors", wrong.file, wrong.problems.len()));
            }
        }
    }
}

fn say_error(message: &str) {
    let red = AnsiColor::Red.on_default().bold();
    write_error(format_args!("{red}error:{red:#} {}\n", one_line(message)));
}

/// What libraries say may have several lines.
fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Nobody can be told when standard error is closed.
fn write_error(text: impl Display) {
    drop(write!(anstream::stderr(), "{text}"));
}
