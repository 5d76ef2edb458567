-- Drills: what is exercised, who began it, and what the clock has given already, so that a restart gives nothing twice.
CREATE TABLE drills (
    id INTEGER PRIMARY KEY NOT NULL,
    scenario TEXT NOT NULL,                      -- its name
    scenario_json TEXT NOT NULL,                 -- as it was when the drill began
    bodies TEXT NOT NULL,                        -- 団体コード with commas between them, in the order of the scenario's numbers
    started_by TEXT NOT NULL,
    started_role TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    ended_by TEXT,
    score_json TEXT                              -- what it came to, kept when it ended
) STRICT;
CREATE TABLE drill_given (
    drill INTEGER NOT NULL REFERENCES drills (id),
    kind TEXT NOT NULL,                          -- capture, report, inject
    n INTEGER NOT NULL,                          -- in the scenario, from 0
    at INTEGER NOT NULL,
    incident TEXT,                               -- that was opened with it
    PRIMARY KEY (drill, kind, n)
) STRICT;
