-- The cloud's own journal, records of evidence, and one table for each kind of
-- document (cloud.Kind): n is the order of first insertion, key is unique, the
-- columns in between are the kind's indexed fields, body is JSON.
--
-- Keys and fields are bytea, not text: text refuses the byte 0, refuses what is
-- no UTF-8, and sorts as the database's collation says. Bytes are compared as
-- bytes everywhere. To read them: SELECT convert_from(key, 'UTF8') FROM site.

CREATE TABLE log (
  n    bigint PRIMARY KEY,
  at   bigint NOT NULL,           -- ms since 1970, UTC
  by   bytea  NOT NULL,
  kind bytea  NOT NULL,
  body bytea  NOT NULL
);

-- A position is used once, for ever: (stream, seq) is the (gateway, journal,
-- epoch, seq) of the vocabulary, since stream.n stands for the first three.
CREATE TABLE record (
  stream  bigint NOT NULL,        -- stream.n
  seq     bigint NOT NULL,
  leaf    bytea  NOT NULL CHECK (octet_length(leaf) = 32),
  session bytea  CHECK (octet_length(session) = 32),
  body    bytea  NOT NULL,        -- the record, verbatim
  PRIMARY KEY (stream, seq)
);
CREATE INDEX record_session ON record (session, stream, seq) WHERE session IS NOT NULL;

CREATE TABLE site       (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);
CREATE TABLE code       (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE gateway    (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE stream     (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, gateway bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE checkpoint (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);
CREATE TABLE slice      (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, stream bytea NOT NULL, at bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE contact    (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);
CREATE TABLE sealkey    (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, gateway bytea NOT NULL, token bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE token      (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);
CREATE TABLE tokenat    (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, token bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE tariff     (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, tariff bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE tariffat   (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, tariff bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE "grant"    (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, token bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE list       (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);
CREATE TABLE directive  (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, gateway bytea NOT NULL, kind bytea NOT NULL, pending bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE session    (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, charger bytea NOT NULL, running bytea NOT NULL, stage bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE place      (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, "row" bytea NOT NULL, at bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE cdr        (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, session bytea NOT NULL, current bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE entry      (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, session bytea NOT NULL, account bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE exception  (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, site bytea NOT NULL, session bytea NOT NULL, code bytea NOT NULL, state bytea NOT NULL, body bytea NOT NULL);
CREATE TABLE balance    (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);
CREATE TABLE total      (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, body bytea NOT NULL);

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
