//! Suppressions: exceptions that people asked for and granted in an incident, for one body, until a time.
//!
//! The scope is written as `category=scan.port originator=192.0.2.7`; it becomes an exception that the same judge reads.

use std::time::Duration;

use sekimori_wire::exception::{Exception, ExceptionFile, Exceptions};
use sekimori_wire::id::BodyCode;
use sekimori_wire::text::BoundedText;
use sekimori_wire::time::Timestamp;

/// Longest time for which findings can be kept out.
pub const DAYS_MAX: u32 = 366;
/// Suppressions in force at once, in all bodies.
pub const IN_FORCE_MAX: i64 = 1_024;
/// Longest reason and longest names that are shown with each finding.
const TEXT_BYTES_MAX: usize = 1_024;
const DAY: Duration = Duration::from_secs(86_400);

/// What a suppression says, before it is checked.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// By which findings name it.
    pub id: &'a str,
    /// The keys and values.
    pub scope: &'a str,
    /// The only body that it covers.
    pub body: BodyCode,
    /// Who asked and who granted.
    pub owner: &'a str,
    /// Why.
    pub reason: &'a str,
    /// When it was granted.
    pub at: Timestamp,
    /// It holds up to and including this time.
    pub until: Timestamp,
}

/// What is wrong with a scope: the name of what is missing, as guards give it.
pub type Missing = &'static str;

/// Checks the scope that somebody asks for in an incident, and gives the body that it is for.
///
/// # Errors
/// `scope.form` if it cannot be read or names nothing but a body, `scope.body` if it names another body than the incident's,
/// or none where the incident is of several.
pub fn check(scope: &str, incident: Option<BodyCode>) -> Result<BodyCode, Missing> {
    let (mut file, named) = read(scope).ok_or("scope.form")?;
    let body = match (incident, named) {
        (Some(own), Some(named)) if own != named => return Err("scope.body"),
        (Some(body), _) | (None, Some(body)) => body,
        (None, None) => return Err("scope.body"),
    };
    // The days only have to be good; those that hold are known when it is granted.
    (file.id, file.owner, file.reason) = ("S".to_owned(), "-".to_owned(), "-".to_owned());
    (file.created, file.expires) = ("2026-01-01".to_owned(), "2026-01-01".to_owned());
    Exceptions::from_files(vec![file]).map(|_good| body).map_err(|_cause| "scope.form")
}

/// The exception that a suppression is; `None` if its scope cannot be read.
pub fn exception(written: &Written<'_>) -> Option<Exception> {
    let (mut file, _) = read(written.scope)?;
    let day = |at: Timestamp| at.to_string().get(..10).unwrap_or_default().to_owned();
    let text = |text: &str| BoundedText::<TEXT_BYTES_MAX>::new(text).as_str().to_owned();
    file.body = Some(written.body.as_str().to_owned());
    (file.id, file.owner, file.reason) = (written.id.to_owned(), text(written.owner), text(written.reason));
    (file.created, file.expires) = (day(written.at), day(written.until.plus(DAY)));
    let checked = Exceptions::from_files(vec![file]).ok()?;
    let mut exception = checked.iter().next()?.clone();
    // Files write days; this one was granted at a time.
    (exception.created, exception.expires) = (written.at, written.until);
    Some(exception)
}

/// Each key once, at least one of them more than a body: a whole body is never kept out.
fn read(scope: &str) -> Option<(ExceptionFile, Option<BodyCode>)> {
    let mut file = ExceptionFile::default();
    let (mut body, mut keys) = (None, 0_u32);
    for pair in scope.split_whitespace() {
        let (key, value) = pair.split_once('=').filter(|(_, value)| !value.is_empty())?;
        let place = match key {
            "category" => &mut file.category,
            "originator" => &mut file.originator,
            "responder" => &mut file.responder,
            "target" => &mut file.target,
            "segment" => &mut file.segment,
            "port" => {
                let port = value.parse().ok()?;
                file.port.replace(port).is_none().then_some(())?;
                keys += 1;
                continue;
            }
            "body" => {
                let code = value.parse().ok()?;
                body.replace(code).is_none().then_some(())?;
                continue;
            }
            _ => return None,
        };
        place.replace(value.to_owned()).is_none().then_some(())?;
        keys += 1;
    }
    (keys > 0).then_some((file, body))
}

#[cfg(test)]
mod tests {
    use sekimori_wire::exception::Facts;
    use sekimori_wire::finding::Category;

    use super::*;

    fn code(text: &str) -> BodyCode {
        text.parse().unwrap()
    }

    #[test]
    fn a_scope_names_more_than_a_body_and_no_other_body() {
        let own = code("422011");
        for (scope, incident, good) in [
            ("category=scan.port", Some(own), Ok(own)),
            ("category=scan.* originator=192.0.2.0/24 port=443", Some(own), Ok(own)),
            ("port=443 body=422011", Some(own), Ok(own)),
            ("port=443 body=422011", None, Ok(own)),
            ("port=443 body=422029", Some(own), Err("scope.body")),
            ("port=443", None, Err("scope.body")),
            ("body=422011", Some(own), Err("scope.form")),
            ("", Some(own), Err("scope.form")),
            ("すべて", Some(own), Err("scope.form")),
            ("category=", Some(own), Err("scope.form")),
            ("category=everything", Some(own), Err("scope.form")),
            ("originator=192.0.2.7/99", Some(own), Err("scope.form")),
            ("port=443 port=80", Some(own), Err("scope.form")),
            ("port=70000", Some(own), Err("scope.form")),
            ("colour=red", Some(own), Err("scope.form")),
        ] {
            assert_eq!(check(scope, incident), good, "{scope}");
        }
    }

    #[test]
    fn it_ends_at_its_time_and_not_with_the_day() {
        let at: Timestamp = "2026-11-23T10:00:00Z".parse().unwrap();
        let until = at.plus(DAY);
        let long = "x".repeat(5_000);
        let written = Written {
            id: "INC-1-S1",
            scope: "category=scan.port",
            body: code("422011"),
            owner: "a → b",
            reason: &long,
            at,
            until,
        };
        let exception = exception(&written).unwrap();
        let facts = |body| Facts {
            category: Category::ScanPort,
            originator: None,
            responder: None,
            targets: Vec::new(),
            ports: &[],
            body: Some(code(body)),
            segment: None,
        };
        use sekimori_wire::exception::Verdict;
        assert_eq!(exception.verdict(&facts("422011"), until), Verdict::Covers);
        assert_eq!(exception.verdict(&facts("422011"), until.plus(Duration::from_nanos(1))), Verdict::Ended);
        assert_eq!(exception.verdict(&facts("422029"), at), Verdict::Other);
        assert!(exception.reason.len() <= TEXT_BYTES_MAX);
    }

    #[test]
    fn the_longest_one_is_not_too_long() {
        let at: Timestamp = "2026-11-23T23:59:59Z".parse().unwrap();
        let written = Written {
            id: "INC-1-S1",
            scope: "port=1",
            body: code("422011"),
            owner: "a",
            reason: "b",
            at,
            until: at.plus(DAY * DAYS_MAX),
        };
        assert!(exception(&written).is_some());
    }
}
