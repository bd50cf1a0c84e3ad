//! The gRPC service: one line a method, from the request to its handler, and around each the metrics and the log.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::caller::{Caller, context};
use crate::metrics::{Call, Method, Metrics};
use crate::order::Event;
use crate::orders::watch::Changes;
use crate::orders::{Orders, create, get, list, transition, watch};
use crate::proto::shop::order_service_server::OrderService;
use crate::proto::shop::{
    CompleteOrderRequest, CreateOrderRequest, GetOrderRequest, ListOrdersRequest, ListOrdersResponse, Order,
    PayOrderRequest, ShipOrderRequest, WatchOrderRequest,
};

/// `shop.v1.OrderService` over the orders of one shop.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) orders: Arc<Orders>,
    pub(crate) metrics: Arc<Metrics>,
}

/// One unary call: counted, and its caller known. A caller who cannot be understood is answered here.
fn begin<'a, T>(method: &'a Method, request: &Request<T>) -> Result<(Call<'a>, Caller), Status> {
    let call = Call::begin(method, context(request));
    match Caller::of(request) {
        Ok(caller) => Ok((call, caller)),
        Err(refusal) => Err(call.refuse(refusal)),
    }
}

#[tonic::async_trait]
impl OrderService for Service {
    async fn create_order(&self, request: Request<CreateOrderRequest>) -> Result<Response<Order>, Status> {
        let (call, caller) = begin(&self.metrics.create, &request)?;
        call.end(create::handle(&self.orders, request.into_inner(), &caller).await)
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Result<Response<Order>, Status> {
        let (call, caller) = begin(&self.metrics.get, &request)?;
        call.end(get::handle(&self.orders, request.get_ref(), &caller).await)
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let (call, caller) = begin(&self.metrics.list, &request)?;
        call.end(list::handle(&self.orders, request.get_ref(), &caller).await)
    }

    async fn pay_order(&self, request: Request<PayOrderRequest>) -> Result<Response<Order>, Status> {
        let (call, caller) = begin(&self.metrics.pay, &request)?;
        let PayOrderRequest { id, event_id } = request.into_inner();
        call.end(transition::handle(&self.orders, id, Event::Pay, &event_id, &caller).await)
    }

    async fn ship_order(&self, request: Request<ShipOrderRequest>) -> Result<Response<Order>, Status> {
        let (call, caller) = begin(&self.metrics.ship, &request)?;
        let ShipOrderRequest { id, event_id } = request.into_inner();
        call.end(transition::handle(&self.orders, id, Event::Ship, &event_id, &caller).await)
    }

    async fn complete_order(
        &self,
        request: Request<CompleteOrderRequest>,
    ) -> Result<Response<Order>, Status> {
        let (call, caller) = begin(&self.metrics.complete, &request)?;
        let CompleteOrderRequest { id, event_id } = request.into_inner();
        call.end(transition::handle(&self.orders, id, Event::Complete, &event_id, &caller).await)
    }

    type WatchOrderStream = Changes;

    async fn watch_order(&self, request: Request<WatchOrderRequest>) -> Result<Response<Changes>, Status> {
        let context = context(&request);
        let call = Call::begin(&self.metrics.watch, context);
        call.end(watch::handle(&self.orders, request.get_ref().id, context).await)
    }
}
