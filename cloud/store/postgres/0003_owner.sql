-- Whose database this is: one row, a mark that is made of the cloud's root
-- secret. A cloud with another secret would write keys and tokens that the first
-- cannot read.

CREATE TABLE owner (
  one  bool  PRIMARY KEY DEFAULT true CHECK (one),
  mark bytea NOT NULL
);
