"""What a bundle holds: contents, licences, bill of materials, known vulnerabilities."""
