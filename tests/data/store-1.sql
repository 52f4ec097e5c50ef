-- Byte for byte what the first lcm laid out, with a little in it; it never changes again.
    PRAGMA journal_mode = WAL;
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
    CREATE TABLE transitions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL,
        project TEXT NOT NULL, service TEXT NOT NULL,
        from_state TEXT NOT NULL, to_state TEXT NOT NULL, reason TEXT NOT NULL, made INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX transitions_of_service ON transitions (project, service, id);
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, command TEXT NOT NULL, by_whom TEXT NOT NULL,
        began_us INTEGER NOT NULL, ended_us INTEGER NOT NULL,
        exit_code INTEGER NOT NULL, changed INTEGER NOT NULL, first_error TEXT
    ) STRICT;
    CREATE TABLE quiet_runs (project TEXT PRIMARY KEY, count INTEGER NOT NULL, last_us INTEGER NOT NULL) STRICT;
    INSERT INTO meta VALUES ('writer', '0.1.0');
    INSERT INTO transitions VALUES (1, 1790000000000000, 'studio', 'a', 'starting', 'online', 'it answers', 1);
    INSERT INTO runs VALUES (1, 'studio', 'lcm apply', 'kim@box', 1790000000000000, 1790000009000000, 0, 1, NULL);
    PRAGMA user_version = 1;
