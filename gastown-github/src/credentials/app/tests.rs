use super::*;
use crate::transport::TransportError;
use crate::url::RepositoryName;

const PEM: &str = include_str!("../../../tests/data/test-only-app-key.pem");

struct FixedClock(Mutex<DateTime<Utc>>);

#[async_trait]
impl Clock for FixedClock {
    fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

/// A GitHub that gives out `t1`, `t2`, …, each good for an hour of its own clock.
struct FakeApp {
    skew: i64,
    clock: Arc<FixedClock>,
    minted: Mutex<u32>,
    asked: Mutex<Vec<String>>,
}

impl FakeApp {
    fn answer(&self, request: &Request<Bytes>) -> Response<Bytes> {
        let server_now = self.clock.now() + TimeDelta::seconds(self.skew);
        let date = server_now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        let (status, body) = if !self.accepts(request, server_now) {
            let text = "'Expiration time' claim ('exp') is too far in the future";
            (401, serde_json::json!({ "message": text }))
        } else if request.uri().path().ends_with("/installation") {
            let found = request.uri().path().contains("/o/");
            (
                if found { 200 } else { 404 },
                serde_json::json!({"id": 5, "other": []}),
            )
        } else {
            let mut minted = self.minted.lock().unwrap();
            *minted += 1;
            let expires = (server_now + TimeDelta::hours(1)).to_rfc3339();
            (
                201,
                serde_json::json!({"token": format!("t{minted}"), "expires_at": expires}),
            )
        };
        let body = Bytes::from(body.to_string());
        Response::builder()
            .status(status)
            .header("date", date)
            .body(body)
            .unwrap()
    }

    fn accepts(&self, request: &Request<Bytes>, server_now: DateTime<Utc>) -> bool {
        let jwt = request.headers()["authorization"].to_str().unwrap();
        let claims = jwt.trim_start_matches("Bearer ").split('.').nth(1).unwrap();
        let claims: serde_json::Value = serde_json::from_slice(&base64_url(claims)).unwrap();
        assert_eq!(claims["iss"], "77");
        let (iat, exp) = (
            claims["iat"].as_i64().unwrap(),
            claims["exp"].as_i64().unwrap(),
        );
        let now = server_now.timestamp();
        iat <= now && exp > now && exp <= now + 600
    }
}

fn base64_url(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let (mut bits, mut held, mut out) = (0_u32, 0, Vec::new());
    for byte in text.bytes() {
        bits = (bits << 6 | u32::from(value(byte))) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    out
}

#[async_trait]
impl Transport for FakeApp {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.asked
            .lock()
            .unwrap()
            .push(request.uri().path().to_owned());
        tokio::task::yield_now().await;
        Ok(self.answer(&request))
    }
}

fn source(skew: i64) -> (InstallationTokens, Arc<FakeApp>, Arc<FixedClock>) {
    let clock = Arc::new(FixedClock(Mutex::new(at(0))));
    let app = Arc::new(FakeApp {
        skew,
        clock: clock.clone(),
        minted: Mutex::default(),
        asked: Mutex::default(),
    });
    let source = InstallationTokens::new(
        "platform integration",
        AppIdentity::from_pem("77", PEM).unwrap(),
        ForgeHost::github_com(),
        Installation::OfRepository,
        app.clone(),
        clock.clone(),
    );
    (source, app, clock)
}

fn scope(repository: &str) -> TokenScope {
    TokenScope {
        host: ForgeHost::github_com(),
        repository: RepositoryName::parse(repository).unwrap(),
        asker: crate::credentials::Asker::default(),
    }
}

async fn text(source: &InstallationTokens, repository: &str) -> Option<String> {
    source
        .token(&scope(repository))
        .await
        .unwrap()
        .map(|it| it.expose().to_owned())
}

#[test]
fn a_limit_at_the_token_endpoint_is_no_missing_permission() {
    let answered = |status: u16, header: Option<(&str, &str)>, message: &str| {
        let mut answer = Response::builder().status(status);
        if let Some((name, value)) = header {
            answer = answer.header(name, value);
        }
        let body = serde_json::json!({ "message": message }).to_string();
        refusal(&answer.body(Bytes::from(body)).unwrap(), at(0))
    };
    let until = |seconds| ForgeError::RateLimited { until: at(seconds) };
    assert_eq!(
        answered(403, Some(("retry-after", "7")), "slow down"),
        until(7)
    );
    assert_eq!(answered(429, None, "too many"), until(60));
    let suspended = answered(403, None, "This installation has been suspended");
    assert!(matches!(suspended, ForgeError::Forbidden { .. }));
}

#[test]
fn a_key_that_cannot_sign_is_refused_at_once() {
    assert!(AppIdentity::from_pem("1", "no key").is_err());
    let identity = AppIdentity::from_pem("77", PEM).unwrap();
    assert!(!format!("{identity:?}").contains("PRIVATE"));
}

#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    let (source, app, clock) = source(0);
    assert_eq!(text(&source, "o/r").await.as_deref(), Some("t1"));
    assert_eq!(text(&source, "O/other").await.as_deref(), Some("t1"));
    *clock.0.lock().unwrap() = at(3299);
    assert_eq!(text(&source, "o/r").await.as_deref(), Some("t1"));
    *clock.0.lock().unwrap() = at(3300);
    assert_eq!(text(&source, "o/r").await.as_deref(), Some("t2"));
    let asked = app.asked.lock().unwrap().clone();
    let mint = "/app/installations/5/access_tokens";
    assert_eq!(asked, ["/repos/o/r/installation", mint, mint]);
}

#[tokio::test]
async fn many_cold_callers_make_one_token() {
    let (source, app, _) = source(0);
    let source = Arc::new(source);
    let scope = scope("o/r");
    let (a, b, c) = tokio::join!(
        source.token(&scope),
        source.token(&scope),
        source.token(&scope)
    );
    for token in [a, b, c] {
        assert_eq!(token.unwrap().unwrap().expose(), "t1");
    }
    assert_eq!(*app.minted.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_clock_that_is_off_by_an_hour_is_corrected_once() {
    for skew in [3600, -3600] {
        let (source, app, _) = source(skew);
        assert_eq!(text(&source, "o/r").await.as_deref(), Some("t1"));
        // The look-up was refused once; the next request already knew the difference.
        assert_eq!(app.asked.lock().unwrap().len(), 3, "{skew}");
    }
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_a_newer_one_is_not_dropped() {
    let (source, _, clock) = source(0);
    let old = source.token(&scope("o/r")).await.unwrap().unwrap();
    *clock.0.lock().unwrap() = at(5);
    assert_eq!(
        source.rejected(&scope("o/r"), &old).await,
        Rejection::AskAgain
    );
    assert_eq!(text(&source, "o/r").await.as_deref(), Some("t2"));
    source.rejected(&scope("o/r"), &old).await;
    assert_eq!(text(&source, "o/r").await.as_deref(), Some("t2"));
    source.forget_all();
    assert_eq!(text(&source, "o/r").await.as_deref(), Some("t3"));
}

#[tokio::test]
async fn a_new_token_that_not_every_server_knows_yet_is_tried_again() {
    let (source, app, clock) = source(0);
    let new = source.token(&scope("o/r")).await.unwrap().unwrap();
    for seconds in [1, 3, 5] {
        let rejection = source.rejected(&scope("o/r"), &new).await;
        assert_eq!((rejection, clock.now()), (Rejection::TrySame, at(seconds)));
        assert_eq!(text(&source, "o/r").await.as_deref(), Some("t1"));
    }
    let rejection = source.rejected(&scope("o/r"), &new).await;
    assert_eq!((rejection, clock.now()), (Rejection::AskAgain, at(5)));
    assert_eq!(text(&source, "o/r").await.as_deref(), Some("t2"));
    assert_eq!(*app.minted.lock().unwrap(), 2);
}

#[tokio::test]
async fn an_account_without_the_app_and_another_host_are_misses() {
    let (source, app, _) = source(0);
    assert_eq!(text(&source, "stranger/r").await, None);
    let asked = app.asked.lock().unwrap().len();
    let mut elsewhere = scope("o/r");
    elsewhere.host = ForgeHost::named("ghe.example.com").unwrap();
    assert!(source.token(&elsewhere).await.unwrap().is_none());
    assert_eq!(app.asked.lock().unwrap().len(), asked);
}
