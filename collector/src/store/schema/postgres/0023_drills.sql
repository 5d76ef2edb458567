-- Drills: what is exercised, who began it, and what the clock has given already, so that a restart gives nothing twice.
CREATE TABLE drills (
    id BIGINT PRIMARY KEY NOT NULL,
    scenario TEXT NOT NULL,                      -- its name
    scenario_json TEXT NOT NULL,                 -- as it was when the drill began
    bodies TEXT NOT NULL,                        -- 団体コード with commas between them, in the order of the scenario's numbers
    started_by TEXT NOT NULL,
    started_role TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    ended_by TEXT,
    score_json TEXT                              -- what it came to, kept when it ended
);
CREATE TABLE drill_given (
    drill BIGINT NOT NULL REFERENCES drills (id),
    kind TEXT NOT NULL,                          -- capture, report, inject
    n BIGINT NOT NULL,                          -- in the scenario, from 0
    at BIGINT NOT NULL,
    incident TEXT,                               -- that was opened with it
    PRIMARY KEY (drill, kind, n)
);
