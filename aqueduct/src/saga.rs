//! `aqueduct saga`: the coordinator for clients and participants in any language, and what operators do with its sagas.

pub(crate) mod cli;
mod files;
mod operate;
mod running;
mod serve;
mod show;
mod store;

use aqueduct_saga_server::Decision;

use crate::failure::Failure;
use cli::{SagaArgs, SagaCommand};

/// Runs one of its commands.
pub(crate) fn run(args: &SagaArgs) -> Result<(), Failure> {
    match &args.command {
        SagaCommand::Serve(args) => serve::run(args),
        SagaCommand::Ls(args) => operate::ls(args),
        SagaCommand::Show(args) => operate::show(args),
        SagaCommand::Retry(args) => operate::decide(args, Decision::Retry),
        SagaCommand::Skip(args) => operate::decide(args, Decision::Skip),
        SagaCommand::Abandon(args) => operate::decide(args, Decision::Abandon),
    }
}
