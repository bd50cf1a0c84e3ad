//! Compiles the rules of the routed services, reporting everything that is wrong with them at once.

use super::binding::{Binding, Body, PathVariable};
use super::field_path::{FieldPath, is_http_body, step_into};
use super::methods::Methods;
use super::tree::Tree;
use super::{Router, Verbs};
use crate::schema::{Field, HttpRule, WellKnown};
use crate::template::Template;
use crate::{MessageId, Method, Options, Schema};

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
        /// What is wrong with it, and what would be right.
        what: String,
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
        self.service_with(name, tag, &Options::default())
    }

    /// The same with JSON conventions and limits of its own.
    #[must_use]
    pub fn service_with(mut self, name: &str, tag: u32, options: &Options) -> Self {
        let schema = self.schema.clone();
        let Some(service) = schema.service(name) else {
            self.errors.push(RouteError::UnknownService(name.to_owned()));
            return self;
        };
        for method in service.methods() {
            let Some(rule) = method.http() else { continue };
            for rule in std::iter::once(rule).chain(&rule.additional) {
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
        options: &Options,
    ) -> Result<(), RouteError> {
        let wrong = |part: &str, what: &str| rule_error(method, part, what);
        if rule.nested {
            let what = "additional_bindings may not be nested: write them all in the outermost rule";
            return Err(wrong(&rule.template, what));
        }
        if rule.method.is_empty() {
            return Err(wrong("google.api.http", "the rule has no HTTP method"));
        }
        let template = Template::parse(&rule.template).map_err(|what| wrong(&rule.template, what))?;
        let colons = template.verb.iter().flatten().filter(|&&byte| byte == b':').count();
        if colons > 7 {
            return Err(wrong(&rule.template, "a verb has more than 7 colons"));
        }
        let verb = self.verbs.intern(template.verb.as_deref());
        let http_method = self.methods.intern(&rule.method);
        let http_method =
            http_method.ok_or_else(|| wrong(&rule.method, "there are more than 63 HTTP methods"))?;
        let mut binding = bind(&self.schema, method, rule, &template, (tag, options))?;
        let index = self.bindings.len() as u32;
        binding.index = index;
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

fn rule_error(method: &Method, part: &str, what: impl Into<String>) -> RouteError {
    RouteError::Rule { grpc_path: method.grpc_path().to_owned(), part: part.to_owned(), what: what.into() }
}

/// Resolves the names of a rule.
fn bind(
    schema: &Schema,
    method: &Method,
    rule: &HttpRule,
    template: &Template,
    (tag, options): (u32, &Options),
) -> Result<Binding, RouteError> {
    let (input, output) = (method.input(), method.output());
    let variables = template.variables.iter().map(|variable| {
        let field = FieldPath::variable(schema, input, &variable.field_path)
            .map_err(|what| rule_error(method, &variable.field_path, what))?;
        let (first, end) = (variable.first as u8, variable.end as u8);
        Ok(PathVariable { field, first, end, multi: variable.multi })
    });
    let variables = variables.collect::<Result<Box<[_]>, RouteError>>()?;
    for (at, variable) in variables.iter().enumerate() {
        for earlier in variables.iter().take(at) {
            if let Some(what) = earlier.field.clash(schema, input, &variable.field) {
                return Err(rule_error(method, &variable.field.text, what));
            }
        }
    }
    let content = |message, name: &str, place: &str| {
        FieldPath::content(schema, message, name)
            .map_err(|what| rule_error(method, &format!("{place}: {name:?}"), what))
    };
    let body = match &*rule.body {
        "" => Body::None,
        "*" => Body::All,
        name => Body::Field(content(input, name, "body")?),
    };
    let response_body = match &*rule.response_body {
        "" | "*" => None,
        name => Some(content(output, name, "response_body")?),
    };
    Ok(Binding {
        request_is_raw: match &body {
            Body::None => false,
            Body::All => is_raw(schema, input, None),
            Body::Field(path) => is_raw(schema, input, Some(path)),
        },
        response_is_raw: is_raw(schema, output, response_body.as_ref()),
        mask: mask(schema, method, rule, &body, &variables),
        variables,
        body,
        response_body,
        index: 0,
        tag,
        http_method: rule.method.as_str().into(),
        template: rule.template.as_str().into(),
        grpc_path: method.grpc_path().into(),
        input,
        output,
        client_streaming: method.client_streaming(),
        server_streaming: method.server_streaming(),
        options: options.clone(),
        schema: schema.clone(),
    })
}

/// Whether the message, or the field at the end of the path, is one `google.api.HttpBody`.
fn is_raw(schema: &Schema, message: MessageId, path: Option<&FieldPath>) -> bool {
    match path {
        None => is_http_body(schema.message_at(message.0)),
        Some(path) => path.last(schema, message).is_some_and(|field| {
            field.is_message() && !field.is_repeated() && is_http_body(schema.message_of(field))
        }),
    }
}

/// The mask that says which fields of the body a PATCH is about: the only FieldMask of the request. A path that sets
/// it leaves nothing to fill.
fn mask(
    schema: &Schema,
    method: &Method,
    rule: &HttpRule,
    body: &Body,
    variables: &[PathVariable],
) -> Option<u16> {
    let Body::Field(body) = body else { return None };
    let body_field = body.last(schema, method.input())?;
    if rule.method != "PATCH" || step_into(schema, body_field).is_none() {
        return None;
    }
    let is_mask = |field: &Field| {
        field.is_message()
            && !field.is_repeated()
            && schema.message_of(field).well_known == Some(WellKnown::FieldMask)
    };
    let fields = &schema.message_at(method.input().0).fields;
    let mut masks = fields.iter().zip(0u16..).filter(|(field, _)| is_mask(field)).map(|(_, index)| index);
    let mask = masks.next().filter(|_| masks.next().is_none())?;
    variables.iter().all(|variable| *variable.field.steps != [mask]).then_some(mask)
}
