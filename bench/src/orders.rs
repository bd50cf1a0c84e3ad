//! `bench orders`.

use anyhow::Result;

/// How to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<()> {
    anyhow::bail!("not yet")
}
