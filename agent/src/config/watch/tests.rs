//! `[[watch.target]]` as people write it: what is read, and what an error names.

use super::*;
use crate::config::Config;

fn read(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/etc/s/agent.toml"), text)
        .map_err(|error| format!("{:#}", anyhow::Error::from(error)))
}

fn target(rest: &str) -> String {
    format!("[[watch.target]]\nname = \"a\"\nserver = \"web\"\n{rest}")
}

#[test]
fn targets_with_all_their_keys() {
    let config = read(
        "[watch]\nper_second = 2\n\
         [[watch.target]]\nname = \"line\"\nserver = \"line\"\nprobe = \"icmp\"\naddress = \"2001:db8::1\"\n\
         [[watch.target]]\nname = \"web\"\nserver = \"web\"\nprobe = \"http\"\nurl = \"http://[::1]:8080/a?b=c\"\n\
         interval = \"30s\"\ntimeout = \"500ms\"\nslow_after = \"250ms\"\ndepends_on = [\"line\"]\n\
         maintenance = [\"Sun 02:00-04:00\"]\nredirect = \"https://a/\"\nstatus = 302\ncontains = \"長崎\"\n\
         [[watch.target]]\nname = \"smtp\"\nserver = \"mail_relay\"\nprobe = \"tcp\"\naddress = \"mail.example.jp:25\"\n",
    )
    .unwrap();
    let [line, web, mail] = &config.watch.targets[..] else { panic!("three") };
    assert_eq!((config.watch.per_second, &*line.host, line.port), (2, "2001:db8::1", 0));
    assert_eq!((line.interval, line.timeout), (INTERVAL, TIMEOUT));
    assert_eq!((&*web.host, web.port, &web.depends_on[..]), ("::1", 8080, &[0][..]));
    assert_eq!((web.interval.as_secs(), web.timeout.as_millis()), (30, 500));
    let Probe::Http(http) = &web.probe else { panic!("a page") };
    assert_eq!((&*http.authority, &*http.path, http.status), ("[::1]:8080", "/a?b=c", 302));
    assert_eq!((&*mail.host, mail.port), ("mail.example.jp", 25));
    let more = read(
        "[[watch.target]]\nname = \"dns\"\nserver = \"external_dns\"\nprobe = \"dns\"\naddress = \"192.0.2.1\"\n\
         query = \"city.example.jp\"\nrecord = \"MX\"\nanswer = [\"10 Mail.city.example.jp.\"]\nsigned = true\n\
         [[watch.target]]\nname = \"pop\"\nserver = \"mail_relay\"\nprobe = \"pop3\"\naddress = \"[2001:db8::1]\"\n\
         [[watch.target]]\nname = \"ad\"\nserver = \"ad\"\nprobe = \"kerberos\"\naddress = \"dc.local\"\nrealm = \"CITY\"\n\
         [[watch.target]]\nname = \"ntp\"\nserver = \"other\"\nprobe = \"ntp\"\naddress = \"dc.local:1123\"\n",
    )
    .unwrap();
    let [dns, pop, ad, ntp] = &more.watch.targets[..] else { panic!("four") };
    let Probe::Dns(question) = &dns.probe else { panic!("a question") };
    assert_eq!((dns.port, question.record, question.signed), (53, RecordType::Mx, true));
    assert_eq!(question.answer.iter().collect::<Vec<_>>(), ["10 mail.city.example.jp"]);
    assert_eq!((&*pop.host, pop.port, ad.port, ntp.port), ("2001:db8::1", 110, 88, 1123));
    assert!(read("").unwrap().watch.targets.is_empty(), "off unless configured");
}

fn http(rest: &str) -> String {
    target(&format!("probe = \"http\"\nurl = \"http://a/\"\n{rest}"))
}

fn assert_errors(all: &[(String, &str)]) {
    for (text, expect) in all {
        let error = read(text).unwrap_err();
        let expect = format!("/etc/s/agent.toml{expect}");
        assert!(error.starts_with(&expect), "{error}\nin place of\n{expect}");
    }
}

#[test]
fn an_error_of_a_probe_names_the_line_and_the_key() {
    assert_errors(&[
        (target("probe = \"pong\"\n"), ":4: watch.target.probe: unknown variant `pong`"),
        (target("probe = \"tcp\"\n"), ":4: watch.target.probe: needs its `address`"),
        (
            target("probe = \"tcp\"\naddress = \"a\"\n"),
            ":5: watch.target.address: `a` is not of the form HOST:PORT",
        ),
        (target("probe = \"tcp\"\naddress = \"::1\"\n"), ":5: watch.target.address: `::1` is not of"),
        (target("probe = \"tcp\"\naddress = \"a:0\"\n"), ":5: watch.target.address: `a:0` is not of"),
        (target("probe = \"tcp\"\naddress = \"x@a:1\"\n"), ":5: watch.target.address: `x@a:1` is not of"),
        (
            target("probe = \"icmp\"\naddress = \"a:1\"\n"),
            ":5: watch.target.address: an echo request has no port",
        ),
        (
            target("probe = \"icmp\"\naddress = \"a\"\nstatus = 200\n"),
            ":6: watch.target.status: this probe has no use for it",
        ),
        (target("probe = \"http\"\n"), ":4: watch.target.probe: probe = \"http\" needs its `url`"),
        (
            target("probe = \"http\"\nurl = \"ftp://a/\"\n"),
            ":5: watch.target.url: `ftp://a/` is not of the form",
        ),
        (target("probe = \"http\"\nurl = \"http://u:p@a/\"\n"), ":5: watch.target.url: "),
    ]);
}

#[test]
fn an_error_of_a_value_names_the_line_and_the_key() {
    assert_errors(&[
        (http("interval = \"0s\"\n"), ":6: watch.target.interval: is not between 1s and 86400s"),
        (http("interval = \"1 day\"\n"), ":6: watch.target.interval: `1 day` is not a length of time"),
        (http("timeout = \"2m\"\n"), ":6: watch.target.timeout: is not between 100ms and 60s"),
        (
            http("interval = \"1s\"\ntimeout = \"2s\"\n"),
            ":7: watch.target.timeout: is longer than the interval",
        ),
        (http("slow_after = \"6s\"\n"), ":6: watch.target.slow_after: is not between 1ms and 5s"),
        (http("depends_on = [\"a\"]\n"), ":6: watch.target.depends_on: there is no target `a` above"),
        (http("maintenance = [\"always\"]\n"), ":6: watch.target.maintenance: `always` is not a window"),
        (http("status = 99\n"), ":6: watch.target.status: 99 is not between 100 and 599"),
        (http("contains = \"\"\n"), ":6: watch.target.contains: is empty"),
        (http("sha256 = \"ab\"\n"), ":6: watch.target.sha256: `ab` is not a SHA-256"),
        (
            target("probe = \"http\"\nurl = \"https://a/\"\nca = \"nowhere.pem\"\n"),
            ":6: watch.target.ca: /etc/s/nowhere.pem: ",
        ),
        (
            target("probe = \"dns\"\naddress = \"a\"\n"),
            ":4: watch.target.probe: probe = \"dns\" needs its `query`",
        ),
        (
            target("probe = \"dns\"\naddress = \"a\"\nquery = \"a..b\"\n"),
            ":6: watch.target.query: `a..b` is not a name",
        ),
        (
            target("probe = \"dns\"\naddress = \"a\"\nquery = \"a.b\"\nanswer = [\"::1\"]\n"),
            ":7: watch.target.answer: `::1` is not an IPv4 address",
        ),
        (
            target("probe = \"smtp\"\naddress = \"a\"\ncertificate_days = 3\n"),
            ":4: watch.target.probe: a certificate needs security",
        ),
        (
            target("probe = \"kerberos\"\naddress = \"a\"\n"),
            ":1: watch.target.realm: a Kerberos server needs",
        ),
        (
            target("probe = \"ntp\"\naddress = \"a\"\nmax_offset = \"2h\"\n"),
            ":6: watch.target.max_offset: is not between 1ms and 3600s",
        ),
        (
            target("probe = \"ldap\"\naddress = \"a\"\nrealm = \"A\"\n"),
            ":6: watch.target.realm: this probe has no",
        ),
        (format!("{0}{0}", http("")), ":7: watch.target.name: there is another target `a`"),
        ("[watch]\nper_second = 11\n".to_owned(), ":2: watch.per_second: 11 is not between 1 and 10"),
    ]);
    let many: String = (0..=TARGETS_MAX)
        .map(|n| {
            format!(
                "[[watch.target]]\nname = \"t{n}\"\nserver = \"other\"\nprobe = \"icmp\"\naddress = \"a\"\n"
            )
        })
        .collect();
    assert!(read(&many).unwrap_err().contains("watch.target.name: more than 64 targets"));
}
