//! gRPC health and reflection.

use std::collections::BTreeMap;

use aqueduct_shop::proto::health::health_check_response::ServingStatus;
use aqueduct_shop::proto::health::{HealthCheckRequest, HealthListRequest};
use tonic::Code;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_reflection::pb::v1alpha;

use crate::kit;

/// All that can be asked for.
const NAMES: [&str; 6] =
    ["", "shop.v1.OrderService", "shop.v1.AccountService", "shop.v1.TransferService", "store", "saga"];

fn about(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn every_name_is_serving_and_an_unknown_one_is_not_found() {
    let shop = kit::start();
    let mut health = shop.health().await;
    for name in NAMES {
        let answer = health.check(about(name)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    assert_eq!(health.check(about("nobody")).await.unwrap_err().code(), Code::NotFound);
    let list = health.list(HealthListRequest {}).await.unwrap().into_inner().statuses;
    let list: BTreeMap<_, _> = list.into_iter().map(|(name, answer)| (name, answer.status())).collect();
    let serving = |name: &str| (name.to_owned(), ServingStatus::Serving);
    assert_eq!(list, BTreeMap::from(NAMES.map(serving)));
    shop.stop().await;
}

#[tokio::test]
async fn a_watch_tells_the_status_and_then_that_the_server_stops() {
    let shop = kit::start();
    let mut health = shop.health().await;
    let mut service = health.watch(about("shop.v1.OrderService")).await.unwrap().into_inner();
    let mut unknown = health.watch(about("nobody")).await.unwrap().into_inner();
    assert_eq!(service.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    assert_eq!(unknown.message().await.unwrap().unwrap().status(), ServingStatus::ServiceUnknown);
    shop.stop().await;
    assert_eq!(service.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert_eq!(service.message().await.unwrap(), None);
    assert_eq!(unknown.message().await.unwrap(), None);
}

#[tokio::test]
async fn reflection_lists_the_services_in_both_versions() {
    let shop = kit::start();
    let names = |answer: &ServerReflectionResponse| match answer.message_response.as_ref().unwrap() {
        MessageResponse::ListServicesResponse(list) => {
            list.service.iter().map(|service| service.name.clone()).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut client = ServerReflectionClient::new(shop.channel().await);
    let asked = futures_util::stream::iter([request]);
    let answer = client.server_reflection_info(asked).await.unwrap().into_inner().message().await;
    let names = names(&answer.unwrap().unwrap());
    for service in ["shop.v1.OrderService", "shop.v1.TransferService", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|name| name == service), "{names:?}");
    }

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(
            "shop.v1.Order".into(),
        )),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(shop.channel().await);
    let asked = futures_util::stream::iter([request]);
    let answer = client.server_reflection_info(asked).await.unwrap().into_inner().message().await;
    let answer = answer.unwrap().unwrap().message_response.unwrap();
    assert!(
        matches!(answer, v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(files) if !files.file_descriptor_proto.is_empty())
    );
    shop.stop().await;
}
