-- The power limit schedules of sites (cloud.KindLimits).

CREATE TABLE limits (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);
