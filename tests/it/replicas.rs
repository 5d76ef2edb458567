//! Two collectors on one PostgreSQL behind one address: they are killed in turn, and the other one takes over.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sqlx::{Connection as _, PgConnection};

use crate::crash::run_agent;
use crate::kills::Load;
use crate::support::{Agent, Running, free_port, program, run_ok, wait_for};
use crate::testserver;

const SOON: Duration = Duration::from_secs(90);
const BODIES: [&str; 2] = ["422011", "131016"];
const KILLS: usize = 4;

/// The ports of one collector: ingest and enrolment.
type Ports = [u16; 2];

/// Passes connections on to the collectors in turn, past those that do not answer; as a TCP load balancer does.
fn balance(front: u16, behind: [u16; 2]) {
    let listener = TcpListener::bind(("127.0.0.1", front)).expect("a free port");
    std::thread::spawn(move || {
        for (turn, client) in listener.incoming().flatten().enumerate() {
            let answering = |at: usize| TcpStream::connect(("127.0.0.1", behind[at % behind.len()])).ok();
            if let Some(server) = answering(turn).or_else(|| answering(turn + 1)) {
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().expect("a socket"), to.try_clone().expect("a socket"));
                    std::thread::spawn(move || pass_on(from, to));
                }
            }
        }
    });
}

fn pass_on(mut from: TcpStream, mut to: TcpStream) {
    let mut buffer = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    // Either side may be gone already.
    for end in [from, to] {
        end.shutdown(Shutdown::Both).unwrap_or_default();
    }
}

/// A copy of the folder, as one makes it for a further collector, with ports of its own.
fn copy(front: &Path, to: &Path, from_ports: Ports, ports: Ports) -> PathBuf {
    run_ok(Command::new("cp").arg("-a").arg(front).arg(to));
    let path = to.join("collector.toml");
    let mut text = std::fs::read_to_string(&path).expect("a configuration");
    for (before, after) in from_ports.iter().zip(ports) {
        text = text.replace(&format!(":{before}\""), &format!(":{after}\""));
    }
    let console = text.lines().find(|line| line.starts_with("console")).expect("init writes it").to_owned();
    text = text.replace(&console, &format!("console = \"127.0.0.1:{}\"", free_port()));
    std::fs::write(&path, text).expect("a configuration");
    path
}

fn start(config: &Path, ingest: u16) -> Running {
    let mut command = Command::new(program("sekimori-collector"));
    command.args(["run", "--config"]).arg(config);
    let running = Running::logged(&mut command, &config.with_file_name("collector.log"));
    wait_for("a collector listens", SOON, || TcpStream::connect(("127.0.0.1", ingest)).ok());
    running
}

fn numbers(url: &str, sql: &'static str) -> Vec<(String, i64)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut store = PgConnection::connect(url).await.expect("a database");
        sqlx::query_as(sql).fetch_all(&mut store).await.expect("rows")
    })
}

#[test]
fn one_of_two_collectors_is_killed_again_and_again_and_nothing_is_lost_or_stored_twice() {
    let url = testserver::database();
    let holder = tempfile::tempdir().expect("a folder");
    let front = holder.path().join("front");
    let front_ports: Ports = [free_port(), free_port()];
    let mut init = Command::new(program("sekimori-collector"));
    init.args(["init", "--json", "--host", "127.0.0.1", "--store", &url, "--dir"]).arg(&front);
    for (flag, port) in
        ["--ingest", "--enroll", "--console"].into_iter().zip([front_ports[0], front_ports[1], free_port()])
    {
        init.args([flag, &SocketAddr::from(([127, 0, 0, 1], port)).to_string()]);
    }
    run_ok(&mut init);
    let ports: [Ports; 2] = [[free_port(), free_port()], [free_port(), free_port()]];
    let configs = [0, 1].map(|n| copy(&front, &holder.path().join(format!("c{n}")), front_ports, ports[n]));
    let mut running = [0, 1].map(|n| Some(start(&configs[n], ports[n][0])));
    balance(front_ports[0], [ports[0][0], ports[1][0]]);
    balance(front_ports[1], [ports[0][1], ports[1][1]]);

    let cli = |words: &[&str]| {
        let mut command = Command::new(program("sekimori-collector"));
        command.args(words).arg("--config").arg(front.join("collector.toml"));
        command
    };
    let mut agents = Vec::new();
    for body in BODIES {
        let token = run_ok(cli(&["agent", "token", "--body", body, "--name", body]).args(["--ttl", "600"]));
        let state = holder.path().join(format!("agent-{body}"));
        let mut enroll = Command::new(program("sekimori-agent"));
        run_ok(enroll.args(["enroll", "--name", body, "--token", token.trim(), "--state"]).arg(&state));
        let (agent, port) = (Agent { state }, free_port());
        let process = run_agent(&agent, port);
        wait_for("the agent's listener", SOON, || TcpStream::connect(("127.0.0.1", port)).ok());
        agents.push((agent, process, Load::start(port)));
    }
    for kill in 0..KILLS {
        std::thread::sleep(Duration::from_millis(2500));
        let n = kill % 2;
        running[n].take().expect("it runs").kill_hard();
        std::thread::sleep(Duration::from_millis(2500));
        running[n] = Some(start(&configs[n], ports[n][0]));
    }
    let mut sent = Vec::new();
    for (body, (agent, process, load)) in BODIES.iter().zip(agents) {
        let count = i64::from(load.end());
        wait_for("everything is sealed and acknowledged", SOON, || {
            std::thread::sleep(Duration::from_millis(1500));
            (agent.waiting() == 0).then_some(())
        });
        assert!(process.stop().success(), "a clean stop");
        sent.push(((*body).to_owned(), count));
    }
    sent.sort();
    // Each alert is numbered: as many rows as were sent, and each of them once.
    let stored = numbers(&url, "SELECT body, count(*) FROM alerts GROUP BY body ORDER BY body");
    assert_eq!(stored, sent, "stored, and sent");
    let told = numbers(
        &url,
        "SELECT b.agent, count(*) FROM batches b JOIN chains c ON c.agent = b.agent AND c.lane = b.lane
        GROUP BY b.agent, b.lane, c.through HAVING count(*) <> c.through OR count(DISTINCT b.epoch) <> 1",
    );
    assert_eq!(told, [], "one unbroken chain of each lane");
    assert_eq!(numbers(&url, "SELECT 'gaps', count(*) FROM gaps"), [("gaps".to_owned(), 0)]);
    run_ok(&mut cli(&["verify"]));
    let status: Value =
        serde_json::from_str(&run_ok(cli(&["status"]).arg("--json"))).expect("JSON from status");
    assert_eq!(status["counters"]["refused.forked"].as_u64().unwrap_or(0), 0);
    println!("replicas: {KILLS} kills, {stored:?} alerts stored once, 0 lost, 0 twice");
}
