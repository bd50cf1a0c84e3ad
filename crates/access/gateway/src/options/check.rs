//! What is wrong with a gateway's options, all of it; and the routes that good ones make.

use std::fmt;
use std::sync::Arc;

use aqueduct_transcode::{Method, Router, Schema, Service};
use bytes::Bytes;

use super::{Options, Retries, Route};
use crate::auth::Authenticator;
use crate::compress::Compression;
use crate::cors::Cors;
use crate::descriptors::Sets;
use crate::routes::Compiled;
use crate::stage::limit::Table;
use crate::tls::Active;

/// One thing that is wrong with the options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which value: `routes[0].upstream`, as in the configuration file.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

impl Options {
    /// Reports everything that is wrong, in the order of the configuration file; empty when a gateway can start.
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = self.check(&self.sets()).err().unwrap_or_default();
        problems.extend(Active::new(self).err().unwrap_or_default());
        problems
    }

    /// The bindings that a gateway would route by, each route with its own options; or all that is wrong.
    pub fn bindings(&self) -> Result<Router, Vec<Problem>> {
        self.check(&self.sets()).map(|(_, router)| router)
    }

    /// The number of workers that `workers: 0` stands for is decided here.
    pub(crate) fn worker_count(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }

    /// The share of a bound that one worker may use; at least one.
    pub(crate) fn per_worker(&self, bound: usize) -> usize {
        bound.div_ceil(self.worker_count()).max(1)
    }

    /// The configuration as the workers use it, with what the sources of the descriptors say now.
    pub(crate) fn compile(
        self: &Arc<Self>,
        sets: Sets,
        before: Option<&Compiled>,
    ) -> Result<Compiled, Vec<Problem>> {
        let checked = self.check(&sets);
        let tls = match before {
            // Only the descriptors are others.
            Some(before) if Arc::ptr_eq(&before.options, self) => Ok(Arc::clone(&before.tls)),
            Some(before) => {
                Active::new(self).map(|tls| Arc::new(tls).after((&before.tls, &before.options), self))
            }
            None => Active::new(self).map(Arc::new),
        };
        match (checked, tls) {
            (Ok(made), Ok(tls)) => {
                let limits = Table::all(&self.rate_limits, before.map_or(&[], |before| &before.limits));
                // With the keys that were read since.
                let known = before.map(|before| &before.auth);
                let auth = known
                    .filter(|auth| auth.options == self.auth)
                    .cloned()
                    .unwrap_or_else(|| Arc::new(Authenticator::new(&self.auth, known.map(Arc::as_ref))));
                Ok(Compiled::new(Arc::clone(self), sets, made, (tls, auth, limits)))
            }
            (checked, tls) => {
                let mut problems = checked.err().unwrap_or_default();
                problems.extend(tls.err().unwrap_or_default());
                Err(problems)
            }
        }
    }

    fn check(&self, sets: &[Option<Bytes>]) -> Result<(Schema, Router), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut problem = |path: String, message: String| problems.push(Problem { path, message });
        if self.listen.is_empty() {
            problem("listen".into(), "name at least one address, such as 127.0.0.1:8080".into());
        }
        for (index, listen) in self.listen.iter().enumerate() {
            let same = |other: &crate::options::Listen| other.address == listen.address;
            // Several free ports of one address are told apart by nothing, so that TLS cannot be for one of them.
            let named = listen.address.port() != 0 || self.listen.iter().any(|it| it.tls.is_some());
            let path = || format!("listen[{index}].address");
            if named && self.listen.iter().take(index).any(same) {
                problem(path(), format!("{} is there twice", listen.address));
            } else if let Some(other) =
                self.listen.iter().take(index).find(|other| other.overlaps(listen.address))
            {
                let (address, other) = (listen.address, other.address);
                problem(path(), format!("{address} overlaps with {other}: nobody can listen on both"));
            }
        }
        if self.workers > 1024 {
            problem("workers".into(), "at most 1024".into());
        }
        self.check_bounds(&mut problem);
        self.check_descriptors(&mut problem);
        self.check_upstreams(&mut problem);
        let schema = self.schema(sets, &mut problem);
        let router = self.router(schema.as_ref(), sets, &mut problem);
        self.check_auth(&mut problem);
        self.check_rate_limits(schema.as_ref(), &mut problem);
        match (schema, router) {
            (Some(schema), Some(router)) if problems.is_empty() => Ok((schema, router)),
            _ => Err(problems),
        }
    }

    fn check_bounds(&self, problem: &mut impl FnMut(String, String)) {
        let limits = &self.limits;
        if limits.head_bytes < 8192 {
            problem("limits.head_bytes".into(), "at least 8192".into());
        }
        let counts = [
            ("headers", limits.headers),
            ("body_bytes", limits.body_bytes),
            ("message_bytes", limits.message_bytes),
            ("nesting", limits.nesting as usize),
            ("elements", limits.elements as usize),
            ("requests", limits.requests),
            ("connections", limits.connections),
            ("handshakes", limits.handshakes),
            ("streams", limits.streams as usize),
        ];
        for (name, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            problem(format!("limits.{name}"), "must not be 0".into());
        }
        let times = &self.timeouts;
        let durations = [
            ("request", times.request),
            ("max_request", times.max_request),
            ("head", times.head),
            ("body", times.body),
            ("write", times.write),
            ("idle", times.idle),
            ("keep_alive", times.keep_alive),
        ];
        for (name, _) in durations.into_iter().filter(|(_, time)| time.is_zero()) {
            problem(format!("timeouts.{name}"), "must not be 0".into());
        }
    }

    fn check_upstreams(&self, problem: &mut impl FnMut(String, String)) {
        for (name, upstream) in &self.upstreams {
            if upstream.endpoints.is_empty() {
                problem(format!("upstreams.{name}.endpoints"), "name at least one host:port".into());
            }
            for (index, endpoint) in upstream.endpoints.iter().enumerate() {
                if !is_host_port(endpoint) {
                    problem(
                        format!("upstreams.{name}.endpoints[{index}]"),
                        format!("`{endpoint}` is not host:port, such as 127.0.0.1:50051"),
                    );
                }
            }
            if upstream.connections == 0 {
                problem(format!("upstreams.{name}.connections"), "must not be 0".into());
            }
            if upstream.max_concurrency == Some(0) {
                problem(format!("upstreams.{name}.max_concurrency"), "must not be 0".into());
            }
            if upstream.connect_timeout.is_zero() {
                problem(format!("upstreams.{name}.connect_timeout"), "must not be 0".into());
            }
        }
    }

    /// Several sets become one: a descriptor set is a repeated field, so that their bytes can be joined.
    fn schema(&self, sets: &[Option<Bytes>], problem: &mut impl FnMut(String, String)) -> Option<Schema> {
        if self.descriptors.is_empty() {
            problem(
                "descriptors".into(),
                "name at least one descriptor set, such as { file: shop.pb }".into(),
            );
            return None;
        }
        let mut joined = Vec::new();
        let mut good = true;
        for (index, (source, set)) in self.descriptors.iter().zip(sets).enumerate() {
            let Some(bytes) = set else { continue };
            match Schema::decode(bytes) {
                Ok(_) => joined.extend_from_slice(bytes),
                Err(error) => {
                    good = false;
                    problem(format!("descriptors[{index}]"), format!("{}: {error}", source.name()));
                }
            }
        }
        if !good {
            return None;
        }
        Schema::decode(&joined).map_err(|error| problem("descriptors".into(), error.to_string())).ok()
    }

    fn router(
        &self,
        schema: Option<&Schema>,
        sets: &[Option<Bytes>],
        problem: &mut impl FnMut(String, String),
    ) -> Option<Router> {
        if self.routes.is_empty() {
            problem("routes".into(), "name at least one { service, upstream }".into());
        }
        let mut builder = schema.map(Router::builder);
        for (index, route) in self.routes.iter().enumerate() {
            if !self.upstreams.contains_key(&route.upstream) {
                let known: Vec<_> = self.upstreams.keys().map(String::as_str).collect();
                problem(
                    format!("routes[{index}].upstream"),
                    format!("there is no upstream `{}`; there are: {}", route.upstream, known.join(", ")),
                );
            }
            if self.routes.iter().take(index).any(|other| other.service == route.service) {
                problem(format!("routes[{index}].service"), format!("`{}` is routed twice", route.service));
                continue;
            }
            for (path, message) in route.cors.iter().flat_map(Cors::problems) {
                problem(format!("routes[{index}].cors.{path}"), message);
            }
            for (path, message) in route.compression.iter().flat_map(Compression::problems) {
                problem(format!("routes[{index}].compression.{path}"), message);
            }
            check_retries(route, &format!("routes[{index}]"), problem);
            let Some(schema) = schema else { continue };
            if schema.service(&route.service).is_none() {
                if self.is_unread(&route.upstream, sets) {
                    continue;
                }
                let known: Vec<_> = schema.services().iter().map(Service::name).collect();
                problem(
                    format!("routes[{index}].service"),
                    format!(
                        "the descriptors have no service `{}`; they have: {}",
                        route.service,
                        known.join(", ")
                    ),
                );
                continue;
            }
            let methods = schema.service(&route.service).map(Service::methods).unwrap_or_default();
            check_named(route, methods, &format!("routes[{index}].retries.idempotent"), problem);
            let tag = u32::try_from(index).unwrap_or(u32::MAX);
            let json = aqueduct_transcode::Options {
                depth: self.limits.nesting,
                elements: self.limits.elements,
                ..route.json.clone()
            };
            builder = builder.map(|builder| builder.service_with(&route.service, tag, &json));
        }
        match builder?.build() {
            Ok(router) => Some(router),
            Err(errors) => {
                for error in errors {
                    problem("routes".into(), error.to_string());
                }
                None
            }
        }
    }
}

fn check_retries(route: &Route, path: &str, problem: &mut impl FnMut(String, String)) {
    let retries = &route.retries;
    if !(1..=Retries::MAX_ATTEMPTS).contains(&retries.attempts) {
        problem(format!("{path}.retries.attempts"), format!("from 1 to {}", Retries::MAX_ATTEMPTS));
    }
    if !(0.0..=1.0).contains(&retries.budget) {
        problem(format!("{path}.retries.budget"), "a share, from 0 to 1".into());
    }
    if let (Some(timeout), Some(max)) = (route.timeout, route.max_timeout)
        && timeout > max
    {
        problem(format!("{path}.timeout"), format!("longer than max_timeout ({max:?}), which would cut it"));
    }
}

/// Methods are named as in the `.proto` file.
fn check_named(route: &Route, methods: &[Method], path: &str, problem: &mut impl FnMut(String, String)) {
    let known: Vec<_> = methods.iter().filter_map(|method| method.grpc_path().rsplit('/').next()).collect();
    for (index, name) in route.retries.idempotent.iter().enumerate() {
        if !known.contains(&name.as_str()) {
            let message = format!("`{}` has no method `{name}`; it has: {}", route.service, known.join(", "));
            problem(format!("{path}[{index}]"), message);
        }
    }
}

fn is_host_port(text: &str) -> bool {
    match text.rsplit_once(':') {
        Some((host, port)) => {
            let bracketed = host.starts_with('[') && host.ends_with(']');
            !host.is_empty()
                && (bracketed || !host.contains([':', '/', '@', ' ']))
                && port.parse::<u16>().is_ok_and(|port| port != 0)
        }
        None => false,
    }
}
