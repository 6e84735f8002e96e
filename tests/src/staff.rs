//! Staff accounts and signed-in staff.

use crate::client::ApiClient;
use crate::seeding::audit_entry;
use crate::stack::Stack;
use diagflow_store::{Action, NewAuditEntry, NewUser, Role, UserId};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use uuid::Uuid;

/// The password of every test account.
pub const PASSWORD: &str = "correct horse battery staple";
const PASSWORD_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$G6KaqimYz6ohifG1NV2//Q$FpVRxQKcqMsSQxRxfJF8eimDXmwhVMHXfUvqtmHiNQc";

#[derive(Debug, Clone)]
pub struct Staff {
    pub id: UserId,
    pub email: String,
    pub session: Value,
    pub access_token: String,
    http: reqwest::Client,
    base: String,
}

pub async fn create_account(stack: &Stack, role: Role) -> (UserId, String) {
    let id = UserId::new();
    let email = format!("{role}-{}@example.org", Uuid::new_v4().simple());
    let new = NewUser {
        id,
        email: email.parse().expect("an address"),
        name: format!("Test {role}"),
        role,
        password_hash: (role != Role::Service).then(|| PASSWORD_HASH.to_owned()),
    };
    let entry = NewAuditEntry { object_id: id.to_string(), ..audit_entry(Action::UserCreate) };
    assert!(
        stack.store.create_user(&new, &entry).await.expect("a working database"),
        "the address is new"
    );
    (id, email)
}

impl Staff {
    pub async fn with_role(stack: &Stack, role: Role) -> Staff {
        let (id, email) = create_account(stack, role).await;
        Self::sign_in(&stack.client, id, email).await
    }

    /// Opens another session for the same account.
    pub async fn sign_in_again(&self, stack: &Stack) -> Staff {
        Self::sign_in(&stack.client, self.id, self.email.clone()).await
    }

    /// Returns the same session, used with another API process.
    #[must_use]
    pub fn at_api(&self, client: &ApiClient) -> Staff {
        Staff { base: client.url(""), ..self.clone() }
    }

    /// Signs in to an account whose password is [`PASSWORD`].
    pub async fn sign_in(client: &ApiClient, id: UserId, email: String) -> Staff {
        let base = client.url("");
        let http = reqwest::Client::new();
        let body = json!({"email": email, "password": PASSWORD});
        let call = http.post(format!("{base}/api/v1/auth/login")).json(&body);
        let response = call.send().await.expect("a response");
        assert_eq!(response.status(), 200, "sign-in of {email}");
        let session: Value = response.json().await.expect("JSON");
        let access_token = session["access_token"].as_str().expect("a token").to_owned();
        Staff { id, email, session, access_token, http, base }
    }

    /// Returns the same user with a different credential.
    #[must_use]
    pub fn with_token(&self, access_token: String) -> Staff {
        Staff { access_token, ..self.clone() }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.access_token)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("a response")
    }

    pub async fn audit(&self, query: &str) -> Vec<Value> {
        let response = self.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!(response.status(), 200, "{query}");
        let body: Value = response.json().await.expect("JSON");
        body["data"].as_array().expect("entries").clone()
    }

    pub async fn put(&self, path: &str, body: &Value) -> Response {
        self.request(Method::PUT, path).json(body).send().await.expect("a response")
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.request(Method::DELETE, path).send().await.expect("a response")
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.expect("a response")
    }
}
