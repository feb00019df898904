"""What the audit log holds, and keeps."""
