ALTER TABLE deliveries DROP COLUMN claim;
