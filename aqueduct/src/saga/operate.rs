//! `aqueduct saga ls`, `show`, `retry`, `skip` and `abandon`: questions to a running coordinator, over gRPC.

use std::io::Write as _;

use anyhow::{Context as _, Result, anyhow};
use aqueduct_saga_server::proto::ListSagasRequest;
use aqueduct_saga_server::{Decision, Operator};

use super::cli::{DecideArgs, LsArgs, ShowArgs};
use super::show;
use crate::failure::Failure;

/// One line a saga, in the order of their ids.
pub(crate) fn ls(args: &LsArgs) -> Result<(), Failure> {
    block_on(async {
        let mut operator = Operator::new(args.server.uri.clone());
        let mut request = ListSagasRequest { stuck: args.stuck, page_size: 500, ..Default::default() };
        if let Some(status) = args.status {
            request.set_status(status);
        }
        let mut sagas = Vec::new();
        loop {
            let page = operator.list(request.clone()).await.map_err(|why| advise(&why))?;
            sagas.extend(page.sagas);
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        print(&show::list(&sagas));
        Ok(())
    })
}

/// A saga and all that happened to it.
pub(crate) fn show(args: &ShowArgs) -> Result<(), Failure> {
    block_on(async {
        let mut operator = Operator::new(args.server.uri.clone());
        let saga = operator.get(args.id.clone()).await.map_err(|why| advise(&why))?;
        print(&show::whole(&saga));
        Ok(())
    })
}

/// Decides on a parked saga.
pub(crate) fn decide(args: &DecideArgs, what: Decision) -> Result<(), Failure> {
    let actor = actor(args)?;
    block_on(async {
        let mut operator = Operator::new(args.server.uri.clone());
        let saga = operator.decide(args.id.clone(), what, actor).await.map_err(|why| advise(&why))?;
        print(&show::list(&[saga]));
        Ok(())
    })
}

/// Who decides: the flag, or else whoever is logged in.
fn actor(args: &DecideArgs) -> Result<String, Failure> {
    let logged_in = || ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let actor = args.actor.clone().or_else(logged_in).filter(|actor| !actor.trim().is_empty());
    actor.ok_or_else(|| {
        Failure::usage(anyhow!("nobody knows who decides: --actor NAME is wanted for the log"))
    })
}

fn block_on(ask: impl Future<Output = Result<()>>) -> Result<(), Failure> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build().context("start the runtime")?;
    Ok(runtime.block_on(ask)?)
}

fn advise(why: &str) -> anyhow::Error {
    if why.contains("does not answer") {
        anyhow!("{why}; `aqueduct saga serve` runs one, and --server says where")
    } else {
        anyhow!("{why}")
    }
}

/// A closed standard output is no failure.
fn print(text: &str) {
    drop(anstream::stdout().write_all(text.as_bytes()));
}
