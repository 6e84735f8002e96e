ALTER TABLE audit DROP KEY audit_by_kind, DROP KEY audit_by_result;
