//! A provider of our own that speaks the real protocol over HTTP, and lies when it is told to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::provider::{OidcError, Provider};
use super::settings::Settings;
use super::token::TokenError;
use super::*;
use crate::clock;

/// How it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Lie {
    None,
    Issuer,
    Audience,
    Party,
    Nonce,
    NoSubject,
    Expired,
    NotYet,
    AlgNone,
    Hs256,
    OtherKey,
    NoKid,
    Garbage,
    HugeKeys,
    ManyKeys,
    Slow,
    Redirects,
    OtherIssuer,
    PlainEndpoint,
    WrongCode,
}

pub(crate) struct Idp {
    pub(crate) issuer: String,
    state: Arc<Mutex<Inner>>,
    _serving: tokio::task::JoinHandle<()>,
}

pub(crate) struct Inner {
    issuer: String,
    pub(crate) lie: Lie,
    pub(crate) subject: String,
    pub(crate) amr: Value,
    keys: Vec<(String, Algorithm, EncodingKey, Value)>,
    /// By code: nonce and challenge.
    codes: BTreeMap<String, (String, String)>,
    key_fetches: u32,
}

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn p256(kid: &str) -> (String, Algorithm, EncodingKey, Value) {
    let pkcs8 = rcgen::KeyPair::generate().unwrap().serialize_der();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8).unwrap();
    let point = key.public_key().as_ref().to_vec();
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..]),
                      "use": "sig", "alg": "ES256", "kid": kid });
    (kid.to_owned(), Algorithm::ES256, EncodingKey::from_ec_der(&pkcs8), jwk)
}

fn ed25519(kid: &str) -> (String, Algorithm, EncodingKey, Value) {
    let key = Ed25519KeyPair::generate().unwrap();
    let pkcs8 = key.to_pkcs8v1().unwrap();
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().as_ref()), "kid": kid });
    (kid.to_owned(), Algorithm::EdDSA, EncodingKey::from_ed_der(pkcs8.as_ref()), jwk)
}

fn rsa2048(kid: &str) -> (String, Algorithm, EncodingKey, Value) {
    let key = rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let pem = rcgen_pem(pkcs8.as_ref());
    let public = key.public_key();
    let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent());
    let jwk = json!({ "kty": "RSA", "n": b64(n), "e": b64(e.big_endian_without_leading_zero()),
                      "use": "sig", "kid": kid });
    (kid.to_owned(), Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(), jwk)
}

fn rcgen_pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let inner = Inner {
            issuer: issuer.clone(),
            lie: Lie::None,
            subject: "sub-1".to_owned(),
            amr: Value::Null,
            keys: vec![p256("ec"), ed25519("ed"), rsa2048("rsa")],
            codes: BTreeMap::new(),
            key_fetches: 0,
        };
        let state = Arc::new(Mutex::new(inner));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(description))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&state));
        let serving = tokio::spawn(async move { axum_serve(listener, router).await });
        Self { issuer, state, _serving: serving }
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    /// What its login page does: takes the question, gives back code and state.
    pub(crate) fn authorize(&self, place: &str) -> (String, String) {
        let (at, query) = place.split_once('?').unwrap();
        assert_eq!(at, format!("{}/authorize", self.issuer));
        let fields: BTreeMap<String, String> = form_fields(query);
        assert_eq!(
            (&*fields["response_type"], &*fields["code_challenge_method"], &*fields["client_id"]),
            ("code", "S256", "sekimori")
        );
        assert!(fields["scope"].starts_with("openid"));
        let code = format!("code-{}", self.with(|inner| inner.codes.len()));
        let (nonce, challenge) = (fields["nonce"].clone(), fields["code_challenge"].clone());
        self.with(|inner| inner.codes.insert(code.clone(), (nonce, challenge)));
        (code, fields["state"].clone())
    }

    /// New keys in place of the old.
    pub(crate) fn rotate(&self) {
        self.with(|inner| inner.keys = vec![p256("ec-2")]);
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            issuer: self.issuer.clone(),
            client_id: "sekimori".to_owned(),
            secret_file: None,
            ca_file: None,
            redirect: "https://collector.example/login/oidc/callback".to_owned(),
            scopes: Vec::new(),
            amr: ["otp".to_owned()].into(),
            acr: ["mfa".to_owned()].into(),
        }
    }
}

async fn axum_serve(listener: tokio::net::TcpListener, router: Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(stream);
            hyper::server::conn::http1::Builder::new().serve_connection(io, service).await.ok();
        });
    }
}

fn form_fields(query: &str) -> BTreeMap<String, String> {
    let decode = |text: &str| {
        let bytes = text.as_bytes();
        let (mut out, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            if bytes[at] == b'%' {
                out.push(
                    u8::from_str_radix(std::str::from_utf8(&bytes[at + 1..at + 3]).unwrap(), 16).unwrap(),
                );
                at += 3;
            } else {
                out.push(bytes[at]);
                at += 1;
            }
        }
        String::from_utf8(out).unwrap()
    };
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(k, v)| (k.to_owned(), decode(v)))
        .collect()
}

type Shared = State<Arc<Mutex<Inner>>>;

async fn description(State(state): Shared) -> Response {
    let inner = state.lock().unwrap();
    let issuer = &inner.issuer;
    let says = if inner.lie == Lie::OtherIssuer { "https://other.example" } else { issuer };
    let token = if inner.lie == Lie::PlainEndpoint {
        "http://idp.example/token".to_owned()
    } else {
        format!("{issuer}/token")
    };
    Json(json!({
        "issuer": says, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": token,
        "jwks_uri": format!("{issuer}/keys"), "response_types_supported": ["code"],
    }))
    .into_response()
}

async fn keys(State(state): Shared) -> Response {
    let mut inner = state.lock().unwrap();
    inner.key_fetches += 1;
    let keys: Vec<Value> = inner.keys.iter().map(|(.., jwk)| jwk.clone()).collect();
    if inner.lie == Lie::HugeKeys {
        return format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(1 << 20)).into_response();
    }
    let keys = if inner.lie == Lie::ManyKeys { vec![keys[0].clone(); 100] } else { keys };
    Json(json!({ "keys": keys })).into_response()
}

async fn token(
    State(state): Shared,
    headers: HeaderMap,
    Form(form): Form<BTreeMap<String, String>>,
) -> Response {
    let lie = state.lock().unwrap().lie;
    if lie == Lie::Slow {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    if lie == Lie::Redirects {
        return Redirect::temporary("http://127.0.0.1:1/").into_response();
    }
    let mut inner = state.lock().unwrap();
    // A code is good once, and for whoever asked for it.
    let Some((nonce, challenge)) = inner.codes.remove(&form["code"]) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    let sha = b64(Digest::of(form["code_verifier"].as_bytes()).as_bytes());
    assert!(headers.contains_key("authorization") || form["client_id"] == "sekimori");
    assert_eq!(form["redirect_uri"], "https://collector.example/login/oidc/callback");
    if sha != challenge || lie == Lie::WrongCode {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    }
    Json(json!({ "access_token": "x", "token_type": "Bearer", "id_token": signed(&inner, &nonce) }))
        .into_response()
}

fn signed(inner: &Inner, nonce: &str) -> String {
    let now = clock::now().secs();
    let mut claims = json!({
        "iss": inner.issuer, "aud": "sekimori", "sub": inner.subject, "nonce": nonce,
        "iat": now, "exp": now + 300, "amr": inner.amr,
    });
    let nth = usize::try_from(now).unwrap() % inner.keys.len();
    let (kid, algorithm, key, jwk) = &inner.keys[nth];
    let mut header = Header::new(*algorithm);
    header.kid = Some(kid.clone());
    match inner.lie {
        Lie::Issuer => claims["iss"] = json!("https://other.example"),
        Lie::Audience => claims["aud"] = json!("somebody"),
        Lie::Party => claims["aud"] = json!(["sekimori", "somebody"]),
        Lie::Nonce => claims["nonce"] = json!("0".repeat(64)),
        Lie::NoSubject => claims["sub"] = json!(""),
        Lie::Expired => claims["exp"] = json!(now - 120),
        Lie::NotYet => claims["nbf"] = json!(now + 600),
        Lie::AlgNone => {
            let part = |value: &Value| b64(value.to_string().as_bytes());
            return format!("{}.{}.", part(&json!({ "alg": "none", "kid": kid })), part(&claims));
        }
        Lie::Hs256 => {
            // The public key as the secret: what a checker takes that lets the token choose.
            header.alg = Algorithm::HS256;
            let secret = EncodingKey::from_secret(jwk.to_string().as_bytes());
            return encode(&header, &claims, &secret).unwrap();
        }
        Lie::OtherKey => {
            let (_, algorithm, other, _) = p256("x");
            header.alg = algorithm;
            header.kid = Some("ec".to_owned());
            return encode(&header, &claims, &other).unwrap();
        }
        Lie::NoKid => header.kid = None,
        Lie::Garbage => return "a.b.c".to_owned(),
        Lie::None
        | Lie::HugeKeys
        | Lie::ManyKeys
        | Lie::Slow
        | Lie::Redirects
        | Lie::OtherIssuer
        | Lie::PlainEndpoint
        | Lie::WrongCode => {}
    }
    encode(&header, &claims, key).unwrap()
}

async fn sign_in(idp: &Idp, provider: &Provider) -> Result<token::Identity, OidcError> {
    let flow = Flow::generate("/").unwrap();
    let (code, state) = idp.authorize(&provider.place(&flow).await?);
    assert_eq!(state, flow.state());
    provider.identify(&flow, &code).await
}

#[tokio::test]
async fn whoever_the_provider_vouches_for_has_a_name() {
    let idp = Idp::start().await;
    let provider = Provider::new(idp.settings());
    for _ in 0..2 {
        let identity = sign_in(&idp, &provider).await.unwrap();
        assert_eq!((identity.subject.as_str(), identity.has_second_factor), ("sub-1", false));
    }
    assert_eq!(idp.with(|inner| inner.key_fetches), 1, "kept");
    for (amr, second) in [(json!(["pwd", "otp"]), true), (json!("otp"), true), (json!(["pwd"]), false)] {
        idp.with(|inner| inner.amr = amr);
        assert_eq!(sign_in(&idp, &provider).await.unwrap().has_second_factor, second);
    }
    // Other keys are fetched when one is named that is not known, and not for ever.
    idp.rotate();
    sign_in(&idp, &provider).await.unwrap();
    assert_eq!(idp.with(|inner| inner.key_fetches), 2);
    // One key, and none is named: there is no choice.
    idp.with(|inner| inner.lie = Lie::NoKid);
    sign_in(&idp, &provider).await.unwrap();
    idp.with(|inner| (inner.lie, inner.keys) = (Lie::None, vec![p256("new"), p256("newer")]));
    for n in 3..20 {
        let stranger = {
            idp.with(|inner| inner.keys[0].0 = format!("unknown-{n}"));
            idp.with(|inner| inner.keys.truncate(1));
            sign_in(&idp, &provider).await
        };
        assert!(matches!(stranger, Err(OidcError::Token { cause: TokenError::UnknownKey })), "{stranger:?}");
    }
    assert_eq!(idp.with(|inner| inner.key_fetches), 2 + 5, "a flood of unknown names does not ask each time");
}

#[tokio::test]
async fn a_provider_that_lies_brings_nobody_in() {
    let idp = Idp::start().await;
    let failure = async |lie: Lie| {
        idp.with(|inner| inner.lie = lie);
        let provider = Provider::hurried(idp.settings(), Duration::from_millis(400));
        let begun = std::time::Instant::now();
        let error = sign_in(&idp, &provider).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(3), "{lie:?}");
        (format!("{error:?}"), error.is_of_person())
    };
    for (lie, expected, of_person) in [
        (Lie::Issuer, "InvalidIssuer", true),
        (Lie::Audience, "InvalidAudience", true),
        (Lie::Party, "Party", true),
        (Lie::Nonce, "Nonce", true),
        (Lie::NoSubject, "Subject", true),
        (Lie::Expired, "ExpiredSignature", true),
        (Lie::NotYet, "ImmatureSignature", true),
        (Lie::AlgNone, "Form", true),
        (Lie::Hs256, "Algorithm(HS256)", true),
        (Lie::OtherKey, "InvalidSignature", true),
        (Lie::NoKid, "UnknownKey", true),
        (Lie::Garbage, "Form", true),
        (Lie::WrongCode, "Status { status: 400 }", true),
        (Lie::HugeKeys, "Body", false),
        (Lie::ManyKeys, "TooManyKeys", false),
        (Lie::Slow, "Late", false),
        (Lie::Redirects, "Status { status: 307 }", false),
        (Lie::OtherIssuer, "OtherIssuer", false),
        (Lie::PlainEndpoint, "Url", false),
    ] {
        if lie == Lie::NoKid {
            // Two keys of one kind, and none is named.
            idp.with(|inner| inner.keys = vec![p256("a"), p256("b")]);
        }
        let (error, person) = failure(lie).await;
        assert!(error.contains(expected), "{lie:?}: {error}");
        assert_eq!(person, of_person, "{lie:?}");
        idp.with(|inner| inner.keys = vec![p256("ec")]);
    }
    idp.with(|inner| inner.lie = Lie::None);
    // A code is nobody else's: the verifier is in another browser.
    let provider = Provider::new(idp.settings());
    let (mine, other) = (Flow::generate("/").unwrap(), Flow::generate("/").unwrap());
    let (code, _) = idp.authorize(&provider.place(&mine).await.unwrap());
    assert!(provider.identify(&other, &code).await.unwrap_err().is_of_person());
    provider.identify(&mine, &"x".repeat(10_000)).await.unwrap_err();
}

#[test]
fn what_binds_the_answer_travels_in_one_cookie() {
    let flow = Flow::generate("/incidents?q=x").unwrap();
    let set = flow.set_cookie();
    let pair = set.split(';').next().unwrap();
    let back = Flow::from_cookies(&format!("a=b; {pair}")).unwrap();
    assert_eq!((back.state(), back.next()), (flow.state(), "/incidents?q=x"));
    let made = [flow.state(), flow.nonce(), flow.verifier(), flow.challenge()];
    let all: std::collections::BTreeSet<_> = made.iter().collect();
    assert_eq!(all.len(), 4);
    assert_ne!(flow.state(), Flow::generate("/").unwrap().state());
    assert!((43..=128).contains(&flow.verifier().len()));
    assert_eq!(Flow::generate(&"/".repeat(5000)).unwrap().next(), "/");
    assert_eq!(Flow::from_cookies("__Host-sekimori-oidc=short.Lw"), None);
    assert_eq!(format!("{flow:?}"), "Flow(…)");
}
