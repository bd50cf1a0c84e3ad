//! `aqueduct serve --accounts NAME`: the accounts of one participant of transfers, in a process of their own.

use anyhow::{Context as _, anyhow};
use aqueduct_runtime::{drain, task};
use aqueduct_shop::{Options, Participant, ParticipantOptions, Side};

use crate::admin::{Admin, Facts};
use crate::bind::bind;
use crate::cli::ServeArgs;
use crate::failure::Failure;
use crate::process::{self, Process, stop_in_order};
use crate::serve::PATIENCE;
use crate::services::advise;

/// Runs until a signal, or until the store fails.
pub(crate) async fn serve(args: &ServeArgs, side: Side, process: Process) -> Result<(), Failure> {
    let mut signals = process::signals()?;
    let options = ParticipantOptions {
        side,
        data_dir: args.data.clone(),
        kept: Options::default().transfers_kept.saturating_mul(2),
    };
    // Blocks for as long as the journal takes to be read; nothing else runs yet.
    let participant = Participant::open(&options, &process.health).map_err(|error| advise(&error))?;
    let data = std::path::absolute(&args.data).unwrap_or_else(|_| args.data.clone());
    let listener = bind(args.listen, "--listen")?;
    let address = listener.local_addr().context("listen")?;
    let admin = Admin::bind(args.admin.or(None), None)?;
    let (handle, drain) = drain::channel();
    let mut serving = task::spawn("participant", participant.serve(listener, drain));
    process.collect_runtimes(Vec::new);
    let facts = Facts {
        command: "serve",
        edge: None,
        services: Some(address),
        data: Some(data.clone()),
        config: None,
    };
    // It answers for as long as this lives: to the end.
    let _admin = admin.serve(&process, facts);
    process.health.set_started();
    tracing::info!(services = %address, accounts = %side, data = %data.display(), "the accounts listen");

    let failed = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal = process::name(signal), "asked to stop");
            None
        }
        why = participant.failed() => {
            Some(anyhow!("the store failed: {why}; make sure that {} can be written, then start again", data.display()))
        }
        served = &mut serving => Some(match served {
            Ok(Ok(())) => anyhow!("the gRPC server has ended"),
            Ok(Err(error)) => error.into(),
            Err(error) => anyhow!(error).context("the gRPC server has ended"),
        }),
    };
    process.health.set_draining();
    if let Some(why) = failed {
        return Err(Failure::Runtime(why));
    }
    let stop = async {
        if handle.drain(PATIENCE).await.left > 0 {
            tracing::warn!("calls were cut: they did not finish in time");
            serving.abort();
        }
        participant.close();
    };
    stop_in_order(&mut signals, stop).await;
    tracing::info!("stopped");
    Ok(())
}
