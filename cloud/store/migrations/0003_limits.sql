-- The power limit schedules of sites (cloud.KindLimits).

CREATE TABLE limits (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
