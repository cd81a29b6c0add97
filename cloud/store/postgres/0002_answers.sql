-- The answers to requests that their senders may repeat (cloud.KindAnswer).

CREATE TABLE answer (n bigint PRIMARY KEY, key bytea NOT NULL UNIQUE, token bytea NOT NULL, body bytea NOT NULL);
CREATE INDEX answer_token ON answer (token) WHERE token <> '';
