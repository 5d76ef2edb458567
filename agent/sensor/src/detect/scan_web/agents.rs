//! What web scanners call themselves.

/// Names in `User-Agent` of programs that look for weaknesses or hidden paths, lower case, from each one's documentation or
/// source. What crawls, monitors or is a library (curl, Go, python-requests) is not here.
const NAMES: [&str; 40] = [
    "acunetix",
    "arachni",
    "brutus",
    "bsqlbf",
    "cgichk",
    "commix",
    "dirb ",
    "dirbuster",
    "dirsearch",
    "feroxbuster",
    "fimap",
    "fuzz faster u fool",
    "gobuster",
    "grendel-scan",
    "havij",
    "httpx - open-source project",
    "hydra",
    "jaascois",
    "jbrofuzz",
    "joomscan",
    "masscan",
    "morfeus",
    "n-stealth",
    "nessus",
    "netsparker",
    "nikto",
    "nmap scripting engine",
    "nuclei",
    "openvas",
    "paros",
    "project-discovery",
    "skipfish",
    "sqlmap",
    "w3af",
    "webinspect",
    "wfuzz",
    "whatweb",
    "wpscan",
    "zgrab",
    "zmeu",
];

/// The scanner that a `User-Agent` names.
pub(super) fn scanner(user_agent: &str) -> Option<&'static str> {
    let lower = user_agent.to_ascii_lowercase();
    NAMES.into_iter().find(|name| lower.contains(name)).map(str::trim_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanners_are_told_from_clients() {
        assert_eq!(scanner("Mozilla/5.00 (Nikto/2.5.0) (Evasions:None)"), Some("nikto"));
        assert_eq!(scanner("sqlmap/1.8#stable (https://sqlmap.example)"), Some("sqlmap"));
        for client in ["Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "curl/8.5.0", "Go-http-client/1.1", ""] {
            assert_eq!(scanner(client), None);
        }
    }
}
