-- The ledger's tables. Rows are only ever added; the triggers refuse anything else but setting a `sent` mark.
-- Times are UTC, ISO 8601 with Z. `link` is the number of the transaction in the hash chain.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE chain (number INTEGER PRIMARY KEY, hash TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE forecasts (
    forecast_id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    document BLOB NOT NULL,
    link INTEGER NOT NULL
);

CREATE TABLE plans (
    plan_id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    interval TEXT NOT NULL,
    status TEXT NOT NULL,
    hash TEXT NOT NULL,
    forecast_id TEXT NOT NULL REFERENCES forecasts,
    document BLOB NOT NULL,
    situation BLOB NOT NULL,
    partition INTEGER NOT NULL,
    tick_offset INTEGER NOT NULL,
    link INTEGER NOT NULL,
    UNIQUE (site, interval)
);

CREATE TABLE readings (
    site TEXT NOT NULL,
    interval TEXT NOT NULL,
    signal TEXT NOT NULL,
    value REAL NOT NULL,
    quality TEXT NOT NULL,
    coverage REAL NOT NULL,
    link INTEGER NOT NULL,
    PRIMARY KEY (site, interval, signal)
) WITHOUT ROWID;
CREATE INDEX metered_import ON readings (site, interval, value) WHERE signal = 'meter.import_kw';

CREATE TABLE cars (
    site TEXT NOT NULL,
    interval TEXT NOT NULL,
    charger TEXT NOT NULL,
    session TEXT,
    car TEXT,
    link INTEGER NOT NULL,
    PRIMARY KEY (site, interval, charger)
) WITHOUT ROWID;

CREATE TABLE setpoints (
    cmd_id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    device TEXT NOT NULL,
    interval TEXT NOT NULL,
    seq INTEGER NOT NULL,
    target_kw REAL NOT NULL,
    message TEXT NOT NULL,
    plan_id TEXT NOT NULL REFERENCES plans,
    sent INTEGER NOT NULL DEFAULT 0,
    link INTEGER NOT NULL
);
CREATE INDEX setpoints_of_plan ON setpoints (plan_id);
CREATE INDEX setpoints_unsent ON setpoints (site) WHERE sent = 0;

CREATE TABLE acks (
    cmd_id TEXT NOT NULL REFERENCES setpoints,
    state TEXT NOT NULL,
    at TEXT NOT NULL,
    readback_kw REAL,
    reason TEXT NOT NULL,
    place INTEGER NOT NULL,
    link INTEGER NOT NULL,
    UNIQUE (cmd_id, state, at)
);

CREATE TABLE late_readings (
    site TEXT NOT NULL,
    device TEXT NOT NULL,
    time TEXT NOT NULL,
    interval TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    link INTEGER NOT NULL,
    PRIMARY KEY (site, device, time, message)
) WITHOUT ROWID;

CREATE TABLE dead_letters (
    letter_id TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    sent INTEGER NOT NULL DEFAULT 0,
    link INTEGER NOT NULL
);

CREATE TABLE commands (
    command_id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    message TEXT NOT NULL,
    answer TEXT NOT NULL,
    link INTEGER NOT NULL
);
CREATE INDEX commands_of_site ON commands (site);

CREATE TABLE announcements (
    id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    type TEXT NOT NULL,
    issued_at TEXT NOT NULL,
    message TEXT NOT NULL,
    link INTEGER NOT NULL
);
CREATE INDEX announcements_of_site ON announcements (site, type, issued_at);

CREATE TABLE models (
    model_id TEXT PRIMARY KEY,
    site TEXT NOT NULL,
    fitted_at TEXT NOT NULL,
    provenance TEXT NOT NULL,
    blob BLOB NOT NULL,
    link INTEGER NOT NULL
);
