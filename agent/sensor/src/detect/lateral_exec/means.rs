//! Ways to run a program on another host.

use sekimori_wire::finding::Severity;

use crate::detect::windows::is_program;

/// By what a program is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Means {
    /// A service was made.
    Service,
    /// A scheduled task was made.
    Task,
    /// A method of WMI was called.
    Wmi,
    /// An instance of WMI was written: a filter and consumer of events run programs later.
    WmiInstance,
    /// An object was driven from afar.
    Dcom,
    /// A shell of a tool, or of PowerShell, over Windows Remote Management.
    Shell,
    /// Windows' own client of that service, which also only asks.
    Management,
    /// The pipe of a known tool.
    Tool,
}

/// How far a call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Makes ready what something else has to start.
    Prepares(Means),
    /// Starts what is there, which administrators do every day; after a change it runs what was put there.
    Starts(Means),
    /// Runs something, or makes what is about to run.
    Runs(Means),
}

impl Step {
    pub(super) const fn means(self) -> Means {
        match self {
            Self::Prepares(means) | Self::Starts(means) | Self::Runs(means) => means,
        }
    }
}

/// What an operation does (opnums: MS-SCMR 3.1.4, MS-TSCH 3.2.5.2 and 3.2.5.4, MS-WMI 3.1.4.3, MS-OAUT 3.1.4).
pub(super) fn of(interface: &str, operation: u16) -> Option<Step> {
    Some(match (interface, operation) {
        // RCreateServiceW, A, their WOW64 forms, RCreateWowService.
        ("svcctl", 12 | 24 | 44 | 45 | 60) => Step::Runs(Means::Service),
        // RChangeServiceConfigW, A.
        ("svcctl", 11 | 23) => Step::Prepares(Means::Service),
        // RStartServiceW, A.
        ("svcctl", 19 | 31) => Step::Starts(Means::Service),
        // NetrJobAdd; SchRpcRegisterTask.
        ("atsvc", 0) | ("ITaskSchedulerService", 1) => Step::Runs(Means::Task),
        // SchRpcRun.
        ("ITaskSchedulerService", 12) => Step::Starts(Means::Task),
        // ExecMethod, ExecMethodAsync.
        ("IWbemServices", 24 | 25) => Step::Runs(Means::Wmi),
        // PutInstance, PutInstanceAsync.
        ("IWbemServices", 14 | 15) => Step::Runs(Means::WmiInstance),
        // Invoke.
        ("IDispatch", 6) => Step::Runs(Means::Dcom),
        _ => return None,
    })
}

/// The tool whose service talks through a pipe of this name. Names as the tools' documents and sources have them:
/// Sysinternals `PsExec`, `PAExec`, `RemCom` (also in Impacket), `CSExec`, `WinExe`.
pub(super) fn tool_of_pipe(name: &str) -> Option<&'static str> {
    const PIPES: [(&str, &str); 7] = [
        ("psexesvc", "PsExec"),
        ("psexecsvc", "PsExec"),
        ("paexec", "PAExec"),
        ("remcom_", "RemCom"),
        ("csexec", "CSExec"),
        ("ahexec", "WinExe"),
        ("winexesvc", "WinExe"),
    ];
    let name = name.trim_start_matches('\\');
    // A file of this name in a folder is something else, and so is the program itself.
    if name.contains('\\') || is_program(name) {
        return None;
    }
    let begins = |pipe: &str| name.get(..pipe.len()).is_some_and(|head| head.eq_ignore_ascii_case(pipe));
    PIPES.iter().find(|(pipe, _)| begins(pipe)).map(|(_, tool)| *tool)
}

impl Means {
    /// Tells findings apart.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Task => "task",
            Self::Wmi => "wmi",
            Self::WmiInstance => "wmi-instance",
            Self::Dcom => "dcom",
            Self::Shell => "winrm",
            Self::Management => "winrm-management",
            Self::Tool => "tool",
        }
    }

    /// In Japanese and English.
    pub(super) const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Service => ("サービスの登録", "a new service"),
            Self::Task => ("タスクの登録", "a scheduled task"),
            Self::Wmi => ("WMI", "a method of WMI"),
            Self::WmiInstance => ("WMI設定の書き込み", "an instance written by WMI"),
            Self::Dcom => ("DCOM", "remote automation (DCOM)"),
            Self::Shell => ("WinRM(PowerShell等)", "a remote shell (WinRM)"),
            Self::Management => ("WinRM", "Windows Remote Management"),
            Self::Tool => ("遠隔実行ツール", "a remote execution tool"),
        }
    }

    /// ATT&CK.
    pub(super) const fn technique(self) -> &'static str {
        match self {
            Self::Service | Self::Tool => "T1569.002",
            Self::Task => "T1053.005",
            Self::Wmi => "T1047",
            Self::WmiInstance => "T1546.003",
            Self::Dcom => "T1021.003",
            Self::Shell | Self::Management => "T1021.006",
        }
    }

    /// Settings are written by WMI in good faith more often than programs are run; Windows' own client of remote management
    /// is also how servers are watched.
    pub(super) const fn severity(self) -> Severity {
        match self {
            Self::Service | Self::Task | Self::Wmi | Self::Dcom | Self::Shell | Self::Tool => Severity::HIGH,
            Self::WmiInstance => Severity::MEDIUM,
            Self::Management => Severity::LOW,
        }
    }

    /// In thousandths: how sure it is that something was run.
    pub(super) const fn confidence(self) -> u16 {
        match self {
            Self::Service | Self::Task | Self::Tool => 900,
            Self::Shell => 850,
            Self::Wmi | Self::Dcom => 800,
            Self::WmiInstance | Self::Management => 500,
        }
    }

    /// So many calls at least.
    pub(super) const fn calls_min(self) -> u64 {
        match self {
            Self::Shell | Self::Management => super::winrm::ANSWERED_MIN,
            Self::Service | Self::Task | Self::Wmi | Self::WmiInstance | Self::Dcom | Self::Tool => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_runs_nothing() {
        // ROpenSCManagerW, ROpenServiceW, RQueryServiceStatus, REnumServicesStatusW; ExecQuery; SchRpcEnumTasks.
        for (interface, operation) in [("svcctl", 15), ("svcctl", 16), ("svcctl", 6), ("svcctl", 14)] {
            assert_eq!(of(interface, operation), None);
        }
        assert_eq!(
            (of("IWbemServices", 20), of("ITaskSchedulerService", 7), of("spoolss", 1)),
            (None, None, None)
        );
    }

    #[test]
    fn pipes_of_tools_are_known_and_their_programs_are_not_pipes() {
        assert_eq!(tool_of_pipe("PSEXESVC-WS1-4711-stdin"), Some("PsExec"));
        assert_eq!(tool_of_pipe(r"\PAExec-4711-WS1.exe"), None);
        assert_eq!(tool_of_pipe("RemCom_communicaton"), Some("RemCom"));
        assert_eq!(
            (tool_of_pipe("PSEXESVC.exe"), tool_of_pipe(r"tools\psexesvc"), tool_of_pipe("svcctl")),
            (None, None, None)
        );
    }
}
