//! The `google.api.http` annotation of a method (`google/api/http.proto`), read from the raw method options.

use super::SchemaError;
use super::raw::each_field;

/// The number of the `google.api.http` extension of `MethodOptions`.
const EXTENSION: u32 = 72_295_728;

/// One rule: what a client sends, and how it becomes the request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HttpRule {
    /// `GET`, `PUT`, …, or a custom kind; `*` for any.
    pub(crate) method: String,
    pub(crate) template: String,
    /// Empty: no body. `*`: the whole message. Otherwise the name of a field, or the dotted path to one.
    pub(crate) body: String,
    /// Empty: the whole response. Otherwise the name of a field, or the dotted path to one.
    pub(crate) response_body: String,
    pub(crate) additional: Vec<HttpRule>,
    /// Whether it is an additional binding that has some of its own, which http.proto forbids.
    pub(crate) nested: bool,
}

/// Finds the rule in a `MethodOptions` message.
pub(super) fn from_options(options: &[u8]) -> Result<Option<HttpRule>, SchemaError> {
    let mut rule = None;
    each_field(options, |number, raw| {
        if number == EXTENSION {
            read(raw.bytes()?, true, rule.get_or_insert_default())?;
        }
        Ok(())
    })?;
    Ok(rule)
}

fn read(bytes: &[u8], outermost: bool, rule: &mut HttpRule) -> Result<(), SchemaError> {
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
                if outermost {
                    let mut inner = HttpRule::default();
                    read(raw.bytes()?, false, &mut inner)?;
                    rule.additional.push(inner);
                } else {
                    rule.nested = true;
                }
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
