//! Logins by a web page's form, as far as the answers tell them: an error status, the way back to the form, or the same
//! page again and again.

use super::refusal::Verdict;
use crate::event::http::{HttpExchange, Request, Response, value};

/// What paths of login pages hold, as web applications and frameworks name them.
const LOGIN: [&str; 8] =
    ["login", "logon", "signin", "sign-in", "sign_in", "log-in", "j_security_check", "authenticate"];
/// Parameters that carry a password where a form is sent in the address.
const PASSWORDS: [&str; 4] = ["password=", "passwd=", "pass=", "pwd="];
/// What the address of an error page holds.
const ERRORS: [&str; 5] = ["error", "fail", "invalid", "denied", "incorrect"];

/// What an exchange says of a login, if it is one.
pub(super) fn said(exchange: &HttpExchange) -> Option<Verdict> {
    let (request, response) = (exchange.request.as_ref()?, exchange.response.as_ref()?);
    let target = request.target.to_ascii_lowercase();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    // Credentials in the head are judged by the status alone, elsewhere.
    if value(&request.fields, "authorization").is_some() || !is_login(request, path, query) {
        return None;
    }
    verdict(response, path)
}

fn is_login(request: &Request, path: &str, query: &str) -> bool {
    match &*request.method {
        "POST" => LOGIN.iter().any(|word| path.contains(word)),
        "GET" => query.split('&').any(|one| PASSWORDS.iter().any(|word| one.starts_with(word))),
        _ => false,
    }
}

fn verdict(response: &Response, path: &str) -> Option<Verdict> {
    Some(match &*response.status {
        "400" | "401" | "403" | "422" | "429" => Verdict::Refused(1),
        "301" | "302" | "303" | "307" => {
            let to = value(&response.fields, "location")?.to_ascii_lowercase();
            let (to_path, _) = to.split_once('?').unwrap_or((&to, ""));
            let back = to_path.ends_with(path) || LOGIN.iter().any(|word| to_path.contains(word));
            if back || ERRORS.iter().any(|word| to.contains(word)) {
                Verdict::Refused(1)
            } else {
                Verdict::Accepted
            }
        }
        // A program's interface answers like that all day; a form comes back as a page.
        "200" if value(&response.fields, "content-type")?.to_ascii_lowercase().starts_with("text/html") => {
            Verdict::Page(response.body.bytes)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::http::{Body, Field};

    fn said_of(method: &str, target: &str, status: &str, location: Option<&str>) -> Option<Verdict> {
        let request = Request { method: method.into(), target: target.into(), ..Request::default() };
        let page = Field { name: "Content-Type".into(), value: "text/html".into() };
        let to = location.map(|to| Field { name: "Location".into(), value: to.into() });
        let response = Response {
            status: status.into(),
            fields: to.into_iter().chain([page]).collect(),
            body: Body { bytes: 900, ..Body::default() },
            ..Response::default()
        };
        said(&HttpExchange { request: Some(request), response: Some(response), ..HttpExchange::default() })
    }

    #[test]
    fn the_answer_to_a_form_is_read() {
        assert_eq!(said_of("POST", "/user/login", "401", None), Some(Verdict::Refused(1)));
        assert_eq!(said_of("POST", "/login.php", "302", Some("login.php")), Some(Verdict::Refused(1)));
        assert_eq!(said_of("POST", "/login", "303", Some("/?error=1")), Some(Verdict::Refused(1)));
        assert_eq!(said_of("POST", "/login", "302", Some("/portal/")), Some(Verdict::Accepted));
        assert_eq!(said_of("POST", "/login", "200", None), Some(Verdict::Page(900)));
        assert_eq!(said_of("GET", "/check/?username=a&password=b", "200", None), Some(Verdict::Page(900)));
    }

    #[test]
    fn what_is_no_login_is_not_read() {
        assert_eq!(said_of("GET", "/login", "200", None), None, "the form itself");
        assert_eq!(said_of("POST", "/api/metrics", "401", None), None);
        assert_eq!(said_of("GET", "/search?q=password=1", "200", None), None);
    }
}
