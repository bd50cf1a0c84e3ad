//! Who calls: until when he waits for the answer, and what he must not be shown the past of.

use aqueduct_runtime::context::Context;
use aqueduct_shards::Token;
use tokio::time::Instant;
use tonic::{Request, Response};

use crate::book::Written;
use crate::proto::shop::Order;
use crate::refuse::Refusal;
use crate::validate;

/// The metadata in which a write answers with a token, and in which a later reader sends it.
pub(crate) const TOKEN_HEADER: &str = "x-aqueduct-token";

/// One caller.
#[derive(Debug)]
pub(crate) struct Caller {
    pub(crate) context: Context,
    /// Empty: nothing is demanded.
    pub(crate) token: Token,
}

impl Caller {
    /// # Errors
    /// [`Refusal::Invalid`] for a token that was never given to anybody.
    pub(crate) fn of<T>(request: &Request<T>) -> Result<Self, Refusal> {
        let token = match request.metadata().get(TOKEN_HEADER) {
            None => Token::default(),
            Some(value) => {
                let wrong =
                    |_| validate::invalid(TOKEN_HEADER, "must be what a write has answered with, unchanged");
                Token::parse(value.as_encoded_bytes()).map_err(wrong)?
            }
        };
        Ok(Self { context: context(request), token })
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.context.deadline
    }

    /// The order, and the token that covers this write and all that its caller has seen before.
    pub(crate) fn answer_to_write(&self, Written { order, token }: Written) -> Response<Order> {
        let mut response = Response::new(order);
        let token = token.merge(&self.token);
        if !token.is_empty()
            && let Ok(value) = token.to_string().parse()
        {
            response.metadata_mut().insert(TOKEN_HEADER, value);
        }
        response
    }
}

/// The context that `incoming` put there.
pub(crate) fn context<T>(request: &Request<T>) -> Context {
    request.extensions().get().copied().unwrap_or_else(|| Context::new_root(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(token: &str) -> Request<()> {
        let mut request = Request::new(());
        request.metadata_mut().insert(TOKEN_HEADER, token.parse().unwrap());
        request
    }

    #[test]
    fn a_write_answers_with_what_covers_it_and_all_that_was_demanded_before() {
        let caller = Caller::of(&request("0@0-1-42,2@0-1-7")).unwrap();
        let written = Written { order: Order::default(), token: Token::parse(b"0@0-1-50").unwrap() };
        let answer = caller.answer_to_write(written);
        assert_eq!(answer.metadata().get(TOKEN_HEADER).unwrap(), "0@0-1-50,2@0-1-7");
    }

    #[test]
    fn nothing_is_demanded_and_answered_without_a_token() {
        let caller = Caller::of(&Request::new(())).unwrap();
        assert!(caller.token.is_empty());
        let written = Written { order: Order::default(), token: Token::default() };
        assert!(caller.answer_to_write(written).metadata().is_empty());
    }

    #[test]
    fn what_is_no_token_is_the_callers_fault() {
        for wrong in ["x", "9@0-1-1", "0@", "0@0-1-1;"] {
            assert!(matches!(Caller::of(&request(wrong)), Err(Refusal::Invalid(_))), "{wrong}");
        }
    }
}
