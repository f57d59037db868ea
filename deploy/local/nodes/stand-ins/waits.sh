#!/bin/sh
# Owns a stand-in for kube-scheduler and kube-controller-manager: a process of that name, which ends when it is told to.
trap 'kill "$waiting" 2>/dev/null; exit 0' TERM INT
while :; do
  sleep 3600 &
  waiting=$!
  wait "$waiting"
done
