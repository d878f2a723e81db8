//! A blocking HTTP client for tests.

use reqwest::{Client, Method, RequestBuilder, StatusCode, header::HeaderMap};
use tokio::runtime::{Builder, Runtime};

/// A whole response, whatever its status.
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// One client with its own small runtime.
pub struct Http {
    runtime: Runtime,
    client: Client,
}

impl Http {
    pub fn new() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        // A proxy of the machine must not come between a test and its loopback peer.
        Self { runtime, client: Client::builder().no_proxy().build().unwrap() }
    }

    /// Sends one request; `finish` adds headers and body to it.
    pub fn try_send(
        &self,
        method: Method,
        url: &str,
        finish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> reqwest::Result<Response> {
        self.runtime.block_on(async {
            let response = finish(self.client.request(method, url)).send().await?;
            Ok(Response {
                status: response.status(),
                headers: response.headers().clone(),
                body: response.bytes().await?.to_vec(),
            })
        })
    }

    /// As [`Http::try_send`], with the status that the test insists on.
    pub fn send(
        &self,
        expected: StatusCode,
        method: Method,
        url: &str,
        finish: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let response = self.try_send(method, url, finish).unwrap();
        let body = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status, expected, "{url}: {body}");
        response
    }
}
