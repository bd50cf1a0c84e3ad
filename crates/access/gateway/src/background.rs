//! What is watched in the background for the configuration in use: the health of its upstreams and the sources of its
//! descriptors. One worker does it, and takes up each new configuration.

use std::rc::Rc;
use std::sync::Arc;

use aqueduct_runtime::task::{self, Owned};
use aqueduct_telemetry::health::{Check, Health};

use crate::auth;
use crate::descriptors;
use crate::edge::Edge;
use crate::options::Options;
use crate::tls;
use crate::upstream::health::{self, Asking};

/// The checks of what is watched.
#[derive(Debug)]
pub(crate) struct Checks {
    upstreams: Vec<(String, Check)>,
    descriptors: Option<Check>,
}

/// Registers the checks. The first time before the gateway counts as started: joining waits for those that are known then.
pub(crate) fn register(options: &Options, health: &Health) -> Checks {
    Checks {
        upstreams: health::register(options, health),
        descriptors: descriptors::register(options, health),
    }
}

/// Watches until the worker ends.
pub(crate) async fn follow(edge: Rc<Edge>) {
    let mut newest = edge.shared.compiled.subscribe();
    let mut asking = Asking::default();
    let mut told: Option<Check> = None;
    loop {
        let options = edge.options();
        let checks = register(&options, &edge.shared.health);
        asking.only(&edge, checks.upstreams);
        match (&checks.descriptors, told.take()) {
            (None, Some(gone)) => gone.remove(),
            (wanted, _) => told.clone_from(wanted),
        }
        let _watching = descriptors::watch(&edge, checks.descriptors);
        let auth = Arc::clone(&edge.routes().compiled().auth);
        let _keys = Owned::from(task::spawn_local("key-set", auth::follow(auth, options.timeouts.poll)));
        let active = Arc::clone(&edge.routes().compiled().tls);
        let _certificates = tls::watch(&edge, &options, &active);
        // Other descriptors of the same configuration are what is watched here, not a reason to begin anew.
        let other = newest.wait_for(|compiled| !Arc::ptr_eq(&compiled.options, &options)).await;
        if other.is_err() {
            return;
        }
    }
}
