//! A progress bar on a terminal, and nothing at all elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar of `steps` steps. It hides itself when standard error is no terminal.
pub(crate) fn bar(steps: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30.cyan/blue} {pos}/{len} {msg} (left: {eta})");
    ProgressBar::new(steps).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
