-- Which events erased something: a start must know before it meets the first leaf without an opening.
CREATE INDEX event_erasure ON event (idx) WHERE substr(leaf, 2, 1) = x'40';
