//! The `google.api.http` annotation of a method (`google/api/http.proto`), read from the raw method options.

use super::SchemaError;
use super::raw::each_field;

/// The number of the `google.api.http` extension of `MethodOptions`.
const EXTENSION: u32 = 72_295_728;
/// `additional_bindings` may not nest, says http.proto; one level is read.
const NESTING: u32 = 1;

/// One rule: what a client sends, and how it becomes the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HttpRule {
    /// `GET`, `PUT`, …, or a custom kind; `*` for any.
    pub(crate) method: String,
    pub(crate) template: String,
    /// Empty: no body. `*`: the whole message. Otherwise a field's proto name.
    pub(crate) body: String,
    /// Empty: the whole response. Otherwise a field's proto name.
    pub(crate) response_body: String,
    pub(crate) additional: Vec<HttpRule>,
}

/// Finds the rule in a `MethodOptions` message.
pub(super) fn from_options(options: &[u8]) -> Result<Option<HttpRule>, SchemaError> {
    let mut rule = None;
    each_field(options, |number, raw| {
        if number == EXTENSION {
            read(raw.bytes()?, NESTING, rule.get_or_insert_default())?;
        }
        Ok(())
    })?;
    Ok(rule)
}

fn read(bytes: &[u8], nesting: u32, rule: &mut HttpRule) -> Result<(), SchemaError> {
    each_field(bytes, |number, raw| {
        let method = match number {
            2 => "GET",
            3 => "PUT",
            4 => "POST",
            5 => "DELETE",
            6 => "PATCH",
            7 => {
                raw.text()?.clone_into(&mut rule.body);
                return Ok(());
            }
            8 => return read_custom(raw.bytes()?, rule),
            11 => {
                let mut inner = HttpRule::default();
                match nesting.checked_sub(1) {
                    Some(nesting) => read(raw.bytes()?, nesting, &mut inner)?,
                    None => return Err(SchemaError::invalid("google.api.http", "additional_bindings nest")),
                }
                rule.additional.push(inner);
                return Ok(());
            }
            12 => {
                raw.text()?.clone_into(&mut rule.response_body);
                return Ok(());
            }
            _ => return Ok(()),
        };
        method.clone_into(&mut rule.method);
        raw.text()?.clone_into(&mut rule.template);
        Ok(())
    })
}

/// `CustomHttpPattern { kind = 1; path = 2 }`.
fn read_custom(bytes: &[u8], rule: &mut HttpRule) -> Result<(), SchemaError> {
    each_field(bytes, |number, raw| {
        match number {
            1 => raw.text()?.clone_into(&mut rule.method),
            2 => raw.text()?.clone_into(&mut rule.template),
            _ => {}
        }
        Ok(())
    })
}
