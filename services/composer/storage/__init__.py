"""The only place in Composer that speaks SQL: tables and named queries."""
