//! The shop as its users see it: typed calls over HTTP+JSON, one connection.

use std::io;
use std::net::SocketAddr;

use aqueduct_kit::{Client, Response};
use serde_json::{Value, json};

/// The statuses in order: an order at version n has the n-th.
pub(crate) const STATUSES: [&str; 4] = ["CREATED", "PAID", "SHIPPED", "COMPLETED"];
/// The events in order: the n-th leads from version n to n + 1.
pub(crate) const EVENTS: [&str; 3] = ["pay", "ship", "complete"];

/// The status that an order has at `version`.
pub(crate) fn status_at(version: usize) -> &'static str {
    STATUSES[version - 1]
}

#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) client: Client,
}

/// What an answer tells of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: i64,
    pub(crate) status: String,
    pub(crate) version: usize,
}

impl Order {
    /// Reads an order, and checks what holds for each: int64 are strings, and status and version go together.
    pub(crate) fn read(json: &Value) -> Self {
        let int64 = |name: &str| -> i64 {
            let text = json[name].as_str().unwrap_or_else(|| panic!("{name} is no string in {json}"));
            text.parse().unwrap_or_else(|_| panic!("{name} is no int64 in {json}"))
        };
        let order = Self {
            id: int64("id"),
            status: json["status"].as_str().unwrap_or_default().to_owned(),
            version: usize::try_from(int64("version")).unwrap(),
        };
        assert!((1..=4).contains(&order.version), "{json}");
        assert_eq!(order.status, status_at(order.version), "{json}");
        order
    }
}

impl Shop {
    pub(crate) fn new(edge: SocketAddr) -> Self {
        Self { client: Client::new(edge) }
    }

    /// A body for an order of `user`: two items, 9.00 and 0.05.
    pub(crate) fn basket(user: i64) -> Value {
        json!({
            "userId": user.to_string(),
            "items": [
                {"sku": "tea", "quantity": 2, "priceCents": "450"},
                {"sku": "bag", "quantity": 1, "priceCents": "5"},
            ],
            "note": "by the door",
        })
    }

    pub(crate) fn try_create(&mut self, user: i64) -> io::Result<Response> {
        self.client.post("/v1/orders", &Self::basket(user))
    }

    pub(crate) fn create(&mut self, user: i64) -> Order {
        good(&self.try_create(user).unwrap())
    }

    pub(crate) fn try_get(&mut self, id: i64) -> io::Result<Response> {
        self.client.get(&format!("/v1/orders/{id}"))
    }

    pub(crate) fn get(&mut self, id: i64) -> Order {
        good(&self.try_get(id).unwrap())
    }

    /// `event` is `pay`, `ship` or `complete`; `event_id` may be empty.
    pub(crate) fn try_event(&mut self, id: i64, event: &str, event_id: &str) -> io::Result<Response> {
        let body = if event_id.is_empty() { json!({}) } else { json!({"eventId": event_id}) };
        self.client.post(&format!("/v1/orders/{id}:{event}"), &body)
    }

    pub(crate) fn event(&mut self, id: i64, event: &str, event_id: &str) -> Order {
        good(&self.try_event(id, event, event_id).unwrap())
    }

    /// All orders of a user, newest first, by pages of `size`.
    pub(crate) fn list(&mut self, user: i64, size: usize) -> Vec<Order> {
        let mut orders = Vec::new();
        let mut token = String::new();
        loop {
            let (page, next) = self.page(user, size, &token);
            orders.extend(page);
            match next {
                Some(next) => token = next,
                None => return orders,
            }
        }
    }

    /// One page, and the token of the next.
    pub(crate) fn page(&mut self, user: i64, size: usize, token: &str) -> (Vec<Order>, Option<String>) {
        let path = format!("/v1/orders?userId={user}&pageSize={size}&pageToken={token}");
        let answer = self.client.get(&path).unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let json = answer.json();
        let orders =
            json["orders"].as_array().map_or(Vec::new(), |all| all.iter().map(Order::read).collect());
        (orders, json["nextPageToken"].as_str().filter(|token| !token.is_empty()).map(str::to_owned))
    }
}

/// The order in an answer that must be a good one.
pub(crate) fn good(answer: &Response) -> Order {
    assert_eq!(answer.status(), 200, "{}", answer.text());
    Order::read(&answer.json())
}

/// Checks that an answer is a `google.rpc.Status` with this HTTP status and gRPC code, and gives its JSON.
pub(crate) fn refused(answer: &Response, http: u16, code: u64) -> Value {
    let text = answer.text();
    assert_eq!(answer.status(), http, "{text}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{text}");
    let json = answer.json();
    assert_eq!(json["code"], code, "{text}");
    assert!(json["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
    json
}

/// The detail of a status that has this type.
pub(crate) fn detail<'a>(status: &'a Value, name: &str) -> &'a Value {
    let kind = format!("type.googleapis.com/google.rpc.{name}");
    let details = status["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    details.iter().find(|detail| detail["@type"] == kind).unwrap_or_else(|| panic!("no {name} in {status}"))
}
