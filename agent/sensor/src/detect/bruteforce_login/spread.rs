//! Refused logins that are spread: one source over many hosts, many sources over one account or one service.

use core::net::IpAddr;
use std::time::Duration;

use sekimori_wire::finding::{Bilingual, Category, Confidence, Finding, Severity};
use sekimori_wire::id::{FindingId, Host};
use sekimori_wire::time::Timestamp;

use super::attempts::note_success;
use super::refusal::Answer;
use super::{BruteforceLogin, account};
use crate::bounded::{Distinct, Map};
use crate::detect::findings::{Findings, Who, draft, input, port, sample, target, threshold};
use crate::detect::{Detect, Scene};
use crate::limits::Limits;

/// Hosts that refused one source: Slips' horizontal threshold; within the time that its short windows take.
const HOSTS: usize = 6;
const HOSTS_WITHIN: Duration = Duration::from_secs(10 * 60);
/// Sources that were refused one account: people have two or three devices.
const SOURCES_OF_ACCOUNT: usize = 10;
/// Outside sources that one service refused, whatever the account.
const SOURCES_OUTSIDE: usize = 20;
const SOURCES_WITHIN: Duration = Duration::from_secs(60 * 60);
/// Distinct hosts remembered for one entry; more are more.
const DISTINCT_MAX: usize = 64;

/// What refusals have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Common {
    /// The source.
    Source(IpAddr),
    /// The server and the account.
    Account(IpAddr, FindingId),
    /// The server, from outside.
    Server(IpAddr),
}

impl Common {
    const fn within(self) -> Duration {
        match self {
            Self::Source(_) => HOSTS_WITHIN,
            Self::Account(..) | Self::Server(_) => SOURCES_WITHIN,
        }
    }

    const fn threshold(self) -> usize {
        match self {
            Self::Source(_) => HOSTS,
            Self::Account(..) => SOURCES_OF_ACCOUNT,
            Self::Server(_) => SOURCES_OUTSIDE,
        }
    }
}

/// State.
#[derive(Debug)]
pub(super) struct Spread {
    groups: Map<(Common, &'static str), Group>,
    evicted: u64,
}

#[derive(Debug)]
struct Group {
    first: Timestamp,
    refused: u64,
    accepted: u64,
    /// The hosts at the other end.
    others: Distinct<IpAddr>,
    finding: Option<FindingId>,
}

impl Spread {
    pub(super) fn new(limits: &Limits, seed: u64) -> Self {
        Self { groups: Map::new(limits.detector_entries, seed), evicted: 0 }
    }

    /// A login was refused.
    pub(super) fn refuse(
        &mut self,
        answer: &Answer<'_>,
        user: Option<FindingId>,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let (source, server) = (answer.flow.originator.address, answer.flow.responder.address);
        self.take(Common::Source(source), server, answer, (scene, &mut *out));
        if let Some(user) = user {
            self.take(Common::Account(server, user), source, answer, (scene, &mut *out));
        }
        if !scene.policy.is_inside(source) {
            self.take(Common::Server(server), source, answer, (scene, out));
        }
    }

    /// A login succeeded.
    pub(super) fn accept(&mut self, answer: &Answer<'_>, out: &mut Findings) {
        let key = (Common::Source(answer.flow.originator.address), answer.service.name);
        let Some(group) = self.groups.get_mut(&key) else { return };
        group.accepted += 1;
        if answer.at.since(group.first) <= HOSTS_WITHIN
            && let Some(id) = group.finding
        {
            out.grow(id, answer.at, |finding| {
                finding.severity = Severity::CRITICAL;
                input(finding, "login_accepted", answer.flow.community_id());
                note_success(finding);
            });
        }
    }

    fn take(
        &mut self,
        common: Common,
        other: IpAddr,
        answer: &Answer<'_>,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let at = answer.at;
        let (group, left) =
            self.groups.get_or_insert_with((common, answer.service.name), || Group::new(at, None));
        self.evicted += u64::from(left.is_some());
        let Some(group) = group else { return };
        if at.since(group.first) > common.within() {
            *group = Group::new(at, group.finding);
        }
        group.refused += 1;
        group.others.insert(other);
        // Who is let in more often than refused is an administrator, or a server in front of many users.
        let mostly_refused = group.accepted <= group.refused / 4;
        if group.others.len() >= common.threshold() && mostly_refused {
            group.tell(common, other, answer, (scene, out));
        }
    }

    pub(super) const fn take_evicted(&mut self) -> u64 {
        core::mem::replace(&mut self.evicted, 0)
    }
}

impl Group {
    const fn new(first: Timestamp, finding: Option<FindingId>) -> Self {
        Self { first, refused: 0, accepted: 0, others: Distinct::new(DISTINCT_MAX), finding }
    }

    fn tell(
        &mut self,
        common: Common,
        other: IpAddr,
        answer: &Answer<'_>,
        (scene, out): (&Scene<'_>, &mut Findings),
    ) {
        let change = |finding: &mut Finding| {
            self.fill(finding, answer);
            target(finding, &other.to_string());
        };
        let claim = || Some(self.claim(common, answer, scene));
        self.finding = out.follow(self.finding, answer.at, change, claim);
    }

    fn fill(&self, finding: &mut Finding, answer: &Answer<'_>) {
        finding.count = self.refused;
        input(finding, "refused", self.refused);
        input(finding, "accepted", self.accepted);
        input(finding, "hosts", self.others.len());
        port(finding, answer.flow.responder.port);
        sample(finding, &answer.flow);
    }

    fn claim(&self, common: Common, answer: &Answer<'_>, scene: &Scene<'_>) -> Finding {
        let (source, server) = (answer.flow.originator.address, answer.flow.responder.address);
        let name = answer.service.name;
        let (ends, what) = match common {
            Common::Source(_) => ((Some(source), None), format!("{name} hosts")),
            Common::Account(_, user) => ((None, Some(server)), format!("{name} {}", account(&user))),
            Common::Server(_) => ((None, Some(server)), format!("{name} sources")),
        };
        let host = |address: Option<IpAddr>| address.map(Host::from);
        let who = Who {
            originator: host(ends.0),
            responder: host(ends.1),
            places: (server, source),
            vlan: answer.flow.vlan,
            what: &what,
        };
        let times = (self.first, answer.at);
        let mut finding = draft(Category::BruteforceLogin, BruteforceLogin::RULE, scene.policy, who, times);
        finding.confidence = Confidence::from_permille(800);
        (finding.title, finding.explanation) = words(common, (source, server), name, self.others.len());
        finding.evidence.formula =
            "distinct hosts at the other end of logins that were refused in so many words and have \
             the source, or the server and account, or the server in common; four of five logins are refused"
                .into();
        input(&mut finding, "service", name);
        if let Common::Account(_, user) = common {
            input(&mut finding, "account", account(&user));
        }
        threshold(&mut finding, "hosts", common.threshold());
        threshold(&mut finding, "within_seconds", common.within().as_secs());
        self.others.iter().for_each(|other| target(&mut finding, &other.to_string()));
        self.fill(&mut finding, answer);
        finding
    }
}

fn words(
    common: Common,
    (source, server): (IpAddr, IpAddr),
    name: &str,
    hosts: usize,
) -> (Bilingual, Bilingual) {
    match common {
        Common::Source(_) => (
            Bilingual::new(
                &format!("多数の機器へのログイン試行: {source}({name})"),
                &format!("Logins tried on many hosts: {source} ({name})"),
            ),
            Bilingual::new(
                &format!(
                    "{source} が {hosts} 台の機器の {name} で続けてログインを失敗しています。盗んだパスワードが\
                     使える機器を探している可能性があります。"
                ),
                &format!(
                    "{source} was refused logins to {name} by {hosts} hosts in a row: somebody may be looking for where a \
                     stolen password works."
                ),
            ),
        ),
        Common::Account(..) | Common::Server(_) => (
            Bilingual::new(
                &format!("多数の送信元からのログイン試行: {server}({name})"),
                &format!("Logins tried from many sources: {server} ({name})"),
            ),
            Bilingual::new(
                &format!(
                    "{hosts} か所から {server} の {name} へのログインが失敗しています。多くの機器に分けて\
                     パスワードを推測する攻撃の可能性があります。"
                ),
                &format!(
                    "Logins to {name} on {server} were refused to {hosts} sources: passwords are being guessed from many \
                     hosts."
                ),
            ),
        ),
    }
}
