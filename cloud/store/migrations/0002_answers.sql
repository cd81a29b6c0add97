-- The answers to requests that their senders may repeat (cloud.KindAnswer).

CREATE TABLE answer (n INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, token TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE INDEX answer_token ON answer (token) WHERE token <> '';
