//! Compiles the rules of the routed services, reporting everything that is wrong with them at once.

use super::binding::{Binding, Body, FieldPath, PathVariable};
use super::methods::Methods;
use super::tree::Tree;
use super::{Router, Verbs};
use crate::schema::HttpRule;
use crate::template::Template;
use crate::{Method, Options, Schema};

/// Why a router cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The schema has no such service.
    #[error("the descriptors have no service {0}")]
    UnknownService(String),
    /// A rule cannot be used.
    #[error("{grpc_path}: {what} ({part})")]
    Rule {
        /// The method.
        grpc_path: String,
        /// The template, field or method name at fault.
        part: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Two rules match the same requests.
    #[error("{second}: {http_method} {template} is already bound to {first}")]
    Conflict {
        /// The gRPC path of the rule that was there.
        first: String,
        /// The gRPC path of the other.
        second: String,
        /// The method of both.
        http_method: String,
        /// The template of the second.
        template: String,
    },
}

/// Collects the services to route; see [`Router::builder`].
#[derive(Debug)]
pub struct RouterBuilder {
    schema: Schema,
    tree: Tree,
    methods: Methods,
    verbs: Verbs,
    bindings: Vec<Binding>,
    errors: Vec<RouteError>,
}

impl RouterBuilder {
    pub(super) fn new(schema: Schema) -> RouterBuilder {
        RouterBuilder {
            schema,
            tree: Tree::new(),
            methods: Methods::new(),
            verbs: Verbs::default(),
            bindings: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Routes every binding of a service. `tag` is the caller's own mark (an upstream's index), found again in
    /// [`Binding::tag`]. Methods without an annotation have no binding.
    #[must_use]
    pub fn service(self, name: &str, tag: u32) -> Self {
        self.service_with(name, tag, Options::default())
    }

    /// The same with JSON conventions and limits of its own.
    #[must_use]
    pub fn service_with(mut self, name: &str, tag: u32, options: Options) -> Self {
        let schema = self.schema.clone();
        let Some(service) = schema.service(name) else {
            self.errors.push(RouteError::UnknownService(name.to_owned()));
            return self;
        };
        for method in service.methods() {
            for rule in method.http().iter().flat_map(|rule| std::iter::once(*rule).chain(&rule.additional)) {
                if let Err(error) = self.rule(method, rule, tag, options) {
                    self.errors.push(error);
                }
            }
        }
        self
    }

    /// Compiles the tree, or reports every bad template, unknown field and conflict at once.
    pub fn build(self) -> Result<Router, Vec<RouteError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        Ok(Router {
            bindings: self.bindings.into(),
            tree: self.tree,
            methods: self.methods,
            verbs: self.verbs,
        })
    }

    fn rule(
        &mut self,
        method: &Method,
        rule: &HttpRule,
        tag: u32,
        options: Options,
    ) -> Result<(), RouteError> {
        let wrong = |part: &str, what| RouteError::Rule {
            grpc_path: method.grpc_path().to_owned(),
            part: part.to_owned(),
            what,
        };
        if rule.method.is_empty() {
            return Err(wrong("google.api.http", "the rule has no HTTP method"));
        }
        let template = Template::parse(&rule.template).map_err(|what| wrong(&rule.template, what))?;
        let verb = self.verbs.intern(template.verb.as_deref());
        if self.verbs.colons > 7 {
            return Err(wrong(&rule.template, "a verb has more than 7 colons"));
        }
        let http_method = self.methods.intern(&rule.method);
        let http_method =
            http_method.ok_or_else(|| wrong(&rule.method, "there are more than 63 HTTP methods"))?;
        let variables = template.variables.iter().map(|variable| {
            let field = FieldPath::resolve(&self.schema, method.input(), &variable.field_path)
                .map_err(|what| wrong(&variable.field_path, what))?;
            let (first, end) = (variable.first as u8, variable.end as u8);
            Ok(PathVariable { field, first, end, multi: variable.multi })
        });
        let field = |message: crate::MessageId, name: &str, what| {
            let found = self.schema.message_at(message.0).by_name(name.as_bytes());
            found.map(|(index, _)| index).ok_or_else(|| wrong(name, what))
        };
        let binding = Binding {
            variables: variables.collect::<Result<_, RouteError>>()?,
            body: match &*rule.body {
                "" => Body::None,
                "*" => Body::All,
                name => Body::Field(field(method.input(), name, "the body is no field of the request")?),
            },
            response_body: match &*rule.response_body {
                "" | "*" => None,
                name => Some(field(method.output(), name, "the response_body is no field of the response")?),
            },
            tag,
            http_method: rule.method.as_str().into(),
            template: rule.template.as_str().into(),
            grpc_path: method.grpc_path().into(),
            input: method.input(),
            output: method.output(),
            client_streaming: method.client_streaming(),
            server_streaming: method.server_streaming(),
            options,
            schema: self.schema.clone(),
        };
        let index = self.bindings.len() as u32;
        self.tree.insert(&template, verb, http_method, index).map_err(|taken| RouteError::Conflict {
            first: self.bindings.get(taken as usize).map_or("", Binding::grpc_path).to_owned(),
            second: method.grpc_path().to_owned(),
            http_method: rule.method.clone(),
            template: rule.template.clone(),
        })?;
        self.bindings.push(binding);
        Ok(())
    }
}
