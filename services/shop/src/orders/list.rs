//! `ListOrders`: a user's orders, newest first, from the store. Not through the cache: a long list read once would
//! push out of it what is read often.

use tonic::Response;

use super::Orders;
use crate::caller::Caller;
use crate::page;
use crate::proto::shop::{ListOrdersRequest, ListOrdersResponse};
use crate::refuse::Refusal;
use crate::validate;

pub(crate) async fn handle(
    orders: &Orders,
    request: &ListOrdersRequest,
    caller: &Caller,
) -> Result<Response<ListOrdersResponse>, Refusal> {
    let size = validate::list(request)?;
    let user = request.user_id;
    let after = match request.page_token.as_str() {
        "" => None,
        token => Some(page::decode(token, user).ok_or_else(|| {
            validate::invalid("pageToken", "must be the nextPageToken of a list of the same user")
        })?),
    };
    // One more than asked for tells whether there is another page.
    let mut found = orders.book.orders_of(user, (after, size + 1), &caller.token, caller.deadline()).await?;
    let mut page = ListOrdersResponse::default();
    if found.len() > size {
        found.truncate(size);
        page.next_page_token = found.last().map_or_else(String::new, |last| page::encode(user, last.id));
    }
    page.orders = found;
    Ok(Response::new(page))
}
