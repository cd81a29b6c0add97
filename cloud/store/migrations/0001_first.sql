-- The cloud's own journal, records of evidence, and one table for each kind of
-- document (cloud.Kind): n is the order of first insertion, key is unique, the
-- columns in between are the kind's indexed fields, body is JSON.

CREATE TABLE log (
  n    INTEGER PRIMARY KEY,
  at   INTEGER NOT NULL,          -- ms since 1970, UTC
  by   TEXT    NOT NULL,
  kind TEXT    NOT NULL,
  body BLOB    NOT NULL
) STRICT;

-- A position is used once, for ever: (stream, seq) is the (gateway, journal,
-- epoch, seq) of the vocabulary, since stream.n stands for the first three.
CREATE TABLE record (
  stream  INTEGER NOT NULL,       -- stream.n
  seq     INTEGER NOT NULL,
  leaf    BLOB    NOT NULL,       -- 32 bytes
  session BLOB,                   -- 32 bytes, or null
  body    BLOB    NOT NULL,       -- the record, verbatim
  PRIMARY KEY (stream, seq)
) STRICT;
CREATE INDEX record_session ON record (session, stream, seq) WHERE session IS NOT NULL;

CREATE TABLE site       (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
CREATE TABLE code       (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE gateway    (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE stream     (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, gateway TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE checkpoint (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
CREATE TABLE slice      (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, stream TEXT NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE contact    (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
CREATE TABLE sealkey    (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, gateway TEXT NOT NULL, token TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE token      (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
CREATE TABLE tokenat    (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, token TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE tariff     (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, tariff TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE tariffat   (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, tariff TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE "grant"    (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, token TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE list       (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
CREATE TABLE directive  (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, gateway TEXT NOT NULL, kind TEXT NOT NULL, pending TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE session    (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, charger TEXT NOT NULL, running TEXT NOT NULL, stage TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE place      (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, "row" TEXT NOT NULL, at TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE cdr        (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, session TEXT NOT NULL, current TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE entry      (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, session TEXT NOT NULL, account TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE exception  (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, site TEXT NOT NULL, session TEXT NOT NULL, code TEXT NOT NULL, state TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE balance    (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;
CREATE TABLE total      (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, body BLOB NOT NULL) STRICT;

CREATE INDEX code_site         ON code (site);
CREATE INDEX gateway_site      ON gateway (site);
CREATE INDEX stream_gateway    ON stream (gateway);
CREATE INDEX slice_stream      ON slice (stream, at);
CREATE INDEX sealkey_token     ON sealkey (token, gateway);
CREATE INDEX tokenat_site      ON tokenat (site);
CREATE INDEX tokenat_token     ON tokenat (token);
CREATE INDEX tariff_tariff     ON tariff (tariff);
CREATE INDEX tariffat_site     ON tariffat (site);
CREATE INDEX grant_token       ON "grant" (token);
CREATE INDEX directive_pending ON directive (gateway, pending);
CREATE INDEX session_site      ON session (site);
CREATE INDEX place_row         ON place ("row", at);
CREATE INDEX cdr_session       ON cdr (session);
CREATE INDEX cdr_site          ON cdr (site);
CREATE INDEX entry_session     ON entry (session);
CREATE INDEX entry_site        ON entry (site);
CREATE INDEX exception_session ON exception (session);
CREATE INDEX exception_state   ON exception (state);
