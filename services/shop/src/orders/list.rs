//! `ListOrders`: a user's orders, newest first, from the store. Not through the cache: a long list read once would
//! push out of it what is read often.

use tonic::Response;

use super::Orders;
use crate::page;
use crate::proto::shop::{ListOrdersRequest, ListOrdersResponse};
use crate::refuse::Refusal;
use crate::store::{ReadError, Tables};
use crate::validate;

pub(crate) async fn handle(
    orders: &Orders,
    request: &ListOrdersRequest,
) -> Result<Response<ListOrdersResponse>, Refusal> {
    let size = validate::list(request)?;
    let user = request.user_id;
    let after = match request.page_token.as_str() {
        "" => None,
        token => Some(page::decode(token, user).ok_or_else(|| {
            validate::invalid("pageToken", "must be the nextPageToken of a list of the same user")
        })?),
    };
    let tables = orders.tables.clone();
    // Up to 500 orders of two reads each, milliseconds when they come from the disk: not on a thread that has other
    // requests to serve.
    let read = tokio::task::spawn_blocking(move || read(&tables, user, after, size));
    let page = match read.await {
        Ok(page) => page?,
        Err(error) => return Err(Refusal::Broken(error.to_string())),
    };
    Ok(Response::new(page))
}

fn read(
    tables: &Tables,
    user: i64,
    after: Option<i64>,
    size: usize,
) -> Result<ListOrdersResponse, ReadError> {
    let mut page = ListOrdersResponse::default();
    // One more than asked for tells whether there is another page.
    for id in tables.orders_of(user, after).take(size + 1) {
        let id = id?;
        if let Some(last) = page.orders.last()
            && page.orders.len() == size
        {
            page.next_page_token = page::encode(user, last.id);
            break;
        }
        page.orders.extend(tables.order(id)?);
    }
    Ok(page)
}
