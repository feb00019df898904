"""The fast HTTP user: its replies are framed by llhttp, its waits cost one watcher, and nothing else is done
for a request but what its locustfile asks for."""
