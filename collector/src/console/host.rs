//! The page of one address: what it did, across detectors and time.

use askama::Template;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use sekimori_wire::finding::Severity;
use sekimori_wire::id::{BodyCode, Host};
use serde::Deserialize;

use super::chart::Bars;
use super::incidents::Row;
use super::page::{Level, Page, When, bytes, failed, number, query_value, render, shown};
use super::{Console, Visitor};
use crate::audit::Entry;
use crate::clock::now;
use crate::query::span;
use crate::search::protocol;
use crate::store::host::{Alerted, FlowTotals, HostAsked, HostView, Name, Service, Told};
use crate::store::search::SearchError;

/// Flows are looked through from here, if nobody says otherwise.
const FROM: &str = "-24h";

/// Where the page of an address is; none if it is no address. The address of a private network is another machine in
/// every body.
pub(super) fn link(address: &str, body: &str) -> Option<String> {
    let host: Host = address.parse().ok()?;
    let body = if body.is_empty() { String::new() } else { format!("&body={}", query_value(body)) };
    Some(format!("/hosts?address={}{body}", query_value(&host.to_string())))
}

/// What is asked for, as in the address of the page.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    address: String,
    body: String,
    from: String,
    to: String,
}

/// Findings of one category.
#[derive(Debug)]
struct ToldRow {
    category: String,
    side: String,
    level: Option<Level>,
    count: String,
    excepted: String,
    first: When,
    last: When,
    days: Bars,
    href: String,
}

/// Endpoint alerts of one class.
#[derive(Debug)]
struct AlertRow {
    class: String,
    level: Option<Level>,
    count: String,
    first: When,
    last: When,
}

/// Totals of flows on one side.
#[derive(Debug)]
struct TotalRow {
    side: String,
    flows: String,
    peers: String,
    sent: String,
    received: String,
}

#[derive(Debug)]
struct ServiceRow {
    side: String,
    service: String,
    application: String,
    flows: String,
}

#[derive(Debug)]
struct NameRow {
    name: String,
    by: String,
    count: String,
    last: When,
}

/// What flows say.
#[derive(Debug, Default)]
struct Flows {
    totals: Vec<TotalRow>,
    services: Vec<ServiceRow>,
}

/// Incidents, and whether there are more of them.
#[derive(Debug, Default)]
struct Incidents {
    rows: Vec<Row>,
    more: bool,
}

/// A body to choose.
#[derive(Debug)]
struct BodyRow {
    code: String,
    name: String,
    count: String,
    href: String,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "host.html")]
struct HostPage {
    page: Page,
    asked: Asked,
    /// As it is written everywhere else; `None`: nothing is asked yet, or what is asked is no address.
    host: Option<String>,
    wrong: Option<String>,
    too_slow: bool,
    /// One number for many machines.
    is_shared: bool,
    told: Vec<ToldRow>,
    alerts: Vec<AlertRow>,
    incidents: Incidents,
    names: Vec<NameRow>,
    bodies: Vec<BodyRow>,
    /// `None`: that took too long.
    flows: Option<Flows>,
    search_flows: String,
    search_findings: String,
}

/// `GET /hosts`.
pub(super) async fn show(
    State(console): State<Console>,
    visitor: Visitor,
    Query(mut at): Query<Asked>,
) -> Response {
    if at.from.trim().is_empty() {
        FROM.clone_into(&mut at.from);
    }
    let mut shown = HostPage::new(Page::new(&visitor, "search"), at);
    if shown.asked.address.trim().is_empty() {
        return render(&shown);
    }
    let asked = match shown.asked() {
        Ok(asked) => asked,
        Err(key) => {
            shown.wrong = Some(shown.page.t(key));
            return (StatusCode::BAD_REQUEST, render(&shown)).into_response();
        }
    };
    // Whose communication with whom is personal: who looks is written down first.
    if let Err(cause) = console.everything().audit(entry(&visitor, &asked, &shown.asked)).await {
        return failed(visitor.lang, &cause);
    }
    let seen = console.seen_by(&visitor.user);
    let names = match seen.bodies().await {
        Ok(names) => names,
        Err(cause) => return failed(visitor.lang, &cause),
    };
    match seen.host(&asked, now()).await {
        Ok(view) => {
            shown.fill(&asked, view, &names);
            render(&shown)
        }
        Err(SearchError::TooSlow) => {
            shown.too_slow = true;
            (StatusCode::SERVICE_UNAVAILABLE, render(&shown)).into_response()
        }
        Err(SearchError::Store(cause)) => failed(visitor.lang, &cause),
    }
}

fn entry(visitor: &Visitor, asked: &HostAsked, written: &Asked) -> Entry {
    let mut reason = asked.host.to_string();
    if let Some(body) = asked.body {
        reason.push_str(&format!(" body={body}"));
    }
    for (name, value) in [("from", &written.from), ("to", &written.to)] {
        if !value.trim().is_empty() {
            reason.push_str(&format!(" {name}={}", value.trim()));
        }
    }
    Entry {
        at: now(),
        actor: visitor.user.name.to_string(),
        role: visitor.user.role.as_str().to_owned(),
        action: "search:host".to_owned(),
        reason,
        ..Entry::default()
    }
}

/// Whether many machines may have this address: of a link, or of a network that everybody has.
fn is_shared(host: Host) -> bool {
    match host {
        Host::Mac(_) => false,
        Host::Ip(core::net::IpAddr::V4(v4)) => v4.is_private() || v4.is_link_local() || v4.is_loopback(),
        Host::Ip(core::net::IpAddr::V6(v6)) => {
            v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_loopback()
        }
    }
}

impl HostPage {
    fn new(page: Page, asked: Asked) -> Self {
        Self {
            page,
            asked,
            host: None,
            wrong: None,
            too_slow: false,
            is_shared: false,
            told: Vec::new(),
            alerts: Vec::new(),
            incidents: Incidents::default(),
            names: Vec::new(),
            bodies: Vec::new(),
            flows: None,
            search_flows: String::new(),
            search_findings: String::new(),
        }
    }

    /// As the store wants it, or the key of the words for what is wrong.
    fn asked(&self) -> Result<HostAsked, &'static str> {
        let Asked { address, body, from, to } = &self.asked;
        let host: Host = address.trim().parse().map_err(|_not_one| "host-wrong-address")?;
        let body: Option<BodyCode> = match body.trim() {
            "" => None,
            code => Some(code.parse().map_err(|_not_one| "host-wrong-body")?),
        };
        let now = now();
        let from = span(from.trim(), now).ok_or("search-wrong-from")?.0;
        let to = match to.trim() {
            "" => i64::MAX,
            to => span(to, now).ok_or("search-wrong-to")?.1,
        };
        Ok(HostAsked { host, body, flows: (from, to) })
    }

    fn fill(&mut self, asked: &HostAsked, view: HostView, names: &[(String, String)]) {
        let host = asked.host.to_string();
        let body = asked.body.map(|body| format!(" body:{body}")).unwrap_or_default();
        let search = |kind: &str, q: &str| format!("/search?kind={kind}&q={}", query_value(q));
        self.search_flows = search("flows", &format!("address:{host}{body}"));
        self.search_findings = search("findings", &format!("address:{host}{body}"));
        self.is_shared = is_shared(asked.host) && asked.body.is_none();
        self.told = view.told.iter().map(|one| self.told_row(one, &host, &body)).collect();
        self.alerts = view.alerts.iter().map(|one| self.alert_row(one)).collect();
        let flow_names = view.flows.iter().flat_map(|flows| &flows.names);
        self.names = view.names.iter().chain(flow_names).map(|one| self.name_row(one)).collect();
        self.flows = view.flows.as_ref().map(|flows| Flows {
            totals: flows.totals.iter().map(|one| self.total_row(*one)).collect(),
            services: flows.services.iter().map(|one| self.service_row(one)).collect(),
        });
        let body_row = |(code, count): &(String, i64)| BodyRow {
            name: names.iter().find(|(one, _)| one == code).map(|(_, name)| shown(name)).unwrap_or_default(),
            href: link(&host, code).unwrap_or_default(),
            chosen: asked.body.is_some_and(|body| body.as_str() == code),
            count: number(count),
            code: shown(code),
        };
        self.bodies = view.bodies.iter().map(body_row).collect();
        let rows = view.incidents.into_iter().map(|view| Row::new(&self.page, view)).collect();
        self.incidents = Incidents { rows, more: view.more_incidents };
        self.host = Some(host);
    }

    fn side(&self, as_responder: bool) -> String {
        if as_responder { self.page.t("host-as-responder") } else { self.page.t("host-as-originator") }
    }

    fn level(&self, worst: i64) -> Option<Level> {
        let severity = Severity::new(u8::try_from(worst).ok()?)?;
        Some(Level::new(self.page.lang, severity))
    }

    fn told_row(&self, told: &Told, host: &str, body: &str) -> ToldRow {
        let field = if told.as_responder { "responder" } else { "originator" };
        let q = format!("{field}:{host} category:{}{body}", told.category);
        let in_days: i64 = told.days.iter().sum();
        ToldRow {
            category: shown(&told.category),
            side: self.side(told.as_responder),
            level: self.level(told.worst),
            count: number(told.count),
            excepted: number(told.excepted),
            first: When::from(told.first),
            last: When::from(told.last),
            days: Bars::new(&told.days, self.page.n("host-days-say", in_days)),
            href: format!("/search?kind=findings&q={}", query_value(&q)),
        }
    }

    fn alert_row(&self, alerted: &Alerted) -> AlertRow {
        AlertRow {
            class: shown(&alerted.class),
            level: self.level(alerted.worst),
            count: number(alerted.count),
            first: When::from(alerted.first),
            last: When::from(alerted.last),
        }
    }

    fn name_row(&self, name: &Name) -> NameRow {
        NameRow {
            name: shown(&name.name),
            by: if name.by_endpoint {
                self.page.t("host-name-endpoint")
            } else {
                self.page.t("host-name-server")
            },
            count: number(name.count),
            last: When::from(name.last),
        }
    }

    fn total_row(&self, totals: FlowTotals) -> TotalRow {
        let size = |n: i64| bytes(u64::try_from(n).unwrap_or_default());
        TotalRow {
            side: self.side(totals.side == 1),
            flows: number(totals.flows),
            peers: number(totals.peers),
            sent: size(totals.sent),
            received: size(totals.received),
        }
    }

    fn service_row(&self, service: &Service) -> ServiceRow {
        ServiceRow {
            side: self.side(service.side == 1),
            service: format!("{}/{}", protocol(service.protocol), service.port),
            application: shown(&service.application),
            flows: number(service.flows),
        }
    }
}
