"""What commands show: tables, trees and JSON."""
