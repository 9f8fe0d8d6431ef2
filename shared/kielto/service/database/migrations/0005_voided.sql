-- Records with unreadable keys that their writer has voided: one may be read after its void, which comes by another topic.
CREATE TABLE voided (
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    PRIMARY KEY (topic_id, partition, "offset")
);
